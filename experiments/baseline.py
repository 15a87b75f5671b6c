"""`bigru baseline` as a script; see bigru_jax/cli/baseline.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('baseline')
