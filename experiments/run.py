"""`bigru run` as a script; see bigru_jax/cli/run.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('run')
