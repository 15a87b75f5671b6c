"""Writes lexicons of sentiment as vectors. See papers/lexicon_vectors.py."""

import sys

from papers import lexicon_vectors

from bigru_jax.cli import command

if __name__ == '__main__':
  command.start(lexicon_vectors, sys.argv)
