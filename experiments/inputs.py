"""The flags of the scripts that read texts for a trained run."""

from absl import flags

import bigru_jax

_TEXT_COLUMN = flags.DEFINE_string(
  'text_column', None, "The input's column; by default that of the run."
)
_ENCODING = flags.DEFINE_string(
  'encoding', None, "The input's; by default that of the run."
)
_DELIMITER = flags.DEFINE_string(
  'delimiter', None, "Of a .csv input; by default the run's."
)
CALIBRATED = flags.DEFINE_bool(
  'calibrated',
  False,
  'Probabilities at the temperature that was fitted on validation.',
)
EMBEDDINGS = flags.DEFINE_string(
  'embeddings',
  '',
  "The run's file of vectors, for words unseen in training; by default where "
  'it was.',
)


def input_format(config: bigru_jax.Config) -> tuple[str, str, str]:
  """The text column, encoding and delimiter of the input."""
  return (
    _TEXT_COLUMN.value or config.text_column,
    config.encoding if _ENCODING.value is None else _ENCODING.value,
    config.delimiter if _DELIMITER.value is None else _DELIMITER.value,
  )
