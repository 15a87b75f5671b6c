"""`bigru compare` as a script; see bigru_jax/cli/compare.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('compare')
