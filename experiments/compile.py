"""`bigru compile` as a script; see bigru_jax/cli/compile.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('compile')
