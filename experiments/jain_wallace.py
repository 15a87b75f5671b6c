"""Writes the table of Jain & Wallace. See papers/jain_wallace.py."""

import sys

from papers import jain_wallace

from bigru_jax.cli import command

if __name__ == '__main__':
  command.start(jain_wallace, sys.argv)
