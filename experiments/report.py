"""`bigru report` as a script; see bigru_jax/cli/report.py."""

from bigru_jax import cli

if __name__ == '__main__':
  cli.start('report')
