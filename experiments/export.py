"""`bigru export` as a script; see bigru_jax/cli/export.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('export')
