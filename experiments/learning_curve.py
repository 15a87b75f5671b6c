"""Measures what pretraining saves in labels. See papers/learning_curve.py."""

import sys

from papers import learning_curve

from bigru_jax.cli import command

if __name__ == '__main__':
  command.start(learning_curve, sys.argv)
