"""`bigru evaluate` as a script; see bigru_jax/cli/evaluate.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('evaluate')
