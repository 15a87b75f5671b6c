"""`python -m bigru_jax.cli` is `bigru`."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.main()
