"""`bigru sweep` as a script; see bigru_jax/cli/sweep.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('sweep')
