"""Reads the golden files, for which no PyTorch is needed."""

import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent


def read(name):
  """The arrays of a file by their names."""
  with np.load(FOLDER / f'{name}.npz', allow_pickle=False) as file:
    return dict(file)


def read_state(name):
  """The state dict of the classifier in a file."""
  return {
    key.removeprefix('state/'): array
    for key, array in read(name).items()
    if key.startswith('state/')
  }
