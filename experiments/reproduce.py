"""Runs the rows of papers. See papers/reproduce.py."""

import sys

from papers import reproduce

from bigru_jax.cli import command

if __name__ == '__main__':
  command.start(reproduce, sys.argv)
