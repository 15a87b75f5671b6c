"""Counts sentences that other texts contain. See papers/overlaps.py."""

import sys

from papers import overlaps

from bigru_jax.cli import command

if __name__ == '__main__':
  command.start(overlaps, sys.argv)
