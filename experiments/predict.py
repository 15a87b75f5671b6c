"""Predicts with a trained run: label, probabilities, attention over tokens.

  python experiments/predict.py --workdir=RUN --text="A gentle, funny film."
  python experiments/predict.py --workdir=RUN --input=reviews.csv --output=-

An input is a .csv, .tsv, .jsonl, .json or .parquet file, or one text per line:
a .txt file, or - for standard input. The output is JSON lines, one per text, in
the same order.
"""

import json
import sys

from absl import flags
import command

import bigru_jax
from bigru_jax.data import files
from bigru_jax.runtime import host

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run directory.')
_TEXT = flags.DEFINE_string('text', None, 'One text.')
_INPUT = flags.DEFINE_string('input', None, 'A file of texts, or -.')
_OUTPUT = flags.DEFINE_string('output', '-', 'A .jsonl file, or -.')
_TEXT_COLUMN = flags.DEFINE_string(
  'text_column', None, "The input's column; by default that of the run."
)
_BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', 64, 'Texts per batch.', lower_bound=1
)


def read_texts(path: str, config: bigru_jax.Config) -> list[str]:
  """The texts of a file, or of standard input where the path is -."""
  if path == '-':
    text = sys.stdin.buffer.read().decode('utf-8', 'replace')
  elif path.lower().removesuffix('.gz').endswith('.txt'):
    text = files.read_text(path, 'input', config.encoding, may_be_blank=True)
  else:
    column = _TEXT_COLUMN.value or config.text_column
    return files.read_file(
      path, 'input', column, None, config.encoding, config.delimiter
    ).texts
  return text.removesuffix('\n').split('\n') if text else []


def main() -> None:
  if not _WORKDIR.value:
    raise ValueError('workdir: name the run to predict with')
  if (_TEXT.value is None) == (_INPUT.value is None):
    raise ValueError('give either text or input')
  host.configure_cpu(batch_size=_BATCH_SIZE.value)
  host.cache_compilations()
  run = bigru_jax.load(_WORKDIR.value)
  if _TEXT.value is not None:
    texts = [_TEXT.value]
  else:
    texts = read_texts(str(_INPUT.value), run.config)
  answers = run.predict(texts, _BATCH_SIZE.value)
  lines = (json.dumps(answer) + '\n' for answer in answers)
  if _OUTPUT.value == '-':
    sys.stdout.writelines(lines)
  else:
    with open(_OUTPUT.value, 'w', encoding='utf-8') as file:
      file.writelines(lines)


if __name__ == '__main__':
  command.run(main)
