"""Measures thresholds that validation chooses. See papers/thresholds.py."""

import sys

from papers import thresholds

from bigru_jax.cli import command

if __name__ == '__main__':
  command.start(thresholds, sys.argv)
