"""`bigru pretrain` as a script; see bigru_jax/cli/pretrain.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('pretrain')
