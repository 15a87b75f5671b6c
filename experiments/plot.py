"""`bigru plot` as a script; see bigru_jax/cli/plot.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('plot')
