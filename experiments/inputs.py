"""The flags of the scripts that read texts for a trained run."""

import os
import pathlib
from typing import Any

from absl import flags

import bigru_jax

_WORKDIR = flags.DEFINE_multi_string(
  'workdir',
  [],
  'A run directory; several, each with its flag, answer as an ensemble, by the '
  'mean of their probabilities.',
)

_TEXT_COLUMN = flags.DEFINE_string(
  'text_column', None, "The input's column; by default that of the run."
)
_ENCODING = flags.DEFINE_string(
  'encoding', None, "The input's; by default that of the run."
)
_DELIMITER = flags.DEFINE_string(
  'delimiter', None, "Of a .csv input; by default the run's."
)
_CALIBRATED = flags.DEFINE_bool(
  'calibrated',
  False,
  'Probabilities at the temperature that was fitted on validation.',
)
_EMBEDDINGS = flags.DEFINE_string(
  'embeddings',
  '',
  "The run's file of vectors, for words unseen in training; by default where "
  'it was.',
)


def workdirs() -> list[pathlib.Path]:
  """The run directories that are named.

  Raises:
    ValueError: none is.
  """
  if not _WORKDIR.value:
    raise ValueError('workdir: name a run')
  return [pathlib.Path(name).expanduser() for name in _WORKDIR.value]


def load_model() -> bigru_jax.Run | bigru_jax.Ensemble:
  """The run that is named, or the ensemble.

  Raises:
    ValueError: an ensemble is to give calibrated probabilities.
  """
  vectors = os.path.expanduser(_EMBEDDINGS.value)
  paths = workdirs()
  if len(paths) > 1 and _CALIBRATED.value:
    raise ValueError(
      'calibrated: each workdir has a temperature, their mean has none'
    )
  if len(paths) == 1:
    return bigru_jax.load(paths[0], vectors)
  return bigru_jax.load_ensemble(paths, vectors)


def options() -> dict[str, Any]:
  """Of a prediction and an evaluation by a single run."""
  return {'calibrated': True} if _CALIBRATED.value else {}


def input_format(config: bigru_jax.Config) -> tuple[str, str, str]:
  """The text column, encoding and delimiter of the input."""
  return (
    _TEXT_COLUMN.value or config.text_column,
    config.encoding if _ENCODING.value is None else _ENCODING.value,
    config.delimiter if _DELIMITER.value is None else _DELIMITER.value,
  )
