"""Measures how faithful attributions are. See papers/faithfulness.py."""

import sys

from papers import faithfulness

from bigru_jax.cli import command

if __name__ == '__main__':
  command.start(faithfulness, sys.argv)
