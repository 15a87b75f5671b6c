"""`bigru predict` as a script; see bigru_jax/cli/predict.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('predict')
