"""Learns word vectors from film reviews. See papers/film_vectors.py."""

import sys

from papers import film_vectors

from bigru_jax.cli import command

if __name__ == '__main__':
  command.start(film_vectors, sys.argv)
