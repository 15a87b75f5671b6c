"""`bigru from_torch` as a script; see bigru_jax/cli/from_torch.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('from_torch')
