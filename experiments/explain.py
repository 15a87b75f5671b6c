"""`bigru explain` as a script; see bigru_jax/cli/explain.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('explain')
