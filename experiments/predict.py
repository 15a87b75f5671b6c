"""Predicts with a trained run: label, probabilities, attention over tokens.

  python experiments/predict.py --workdir=RUN --text="A gentle, funny film."
  python experiments/predict.py --workdir=RUN --input=reviews.csv --output=-

An input is a .csv, .tsv, .jsonl or .parquet file with a --text_column, or any
other file, or - for standard input, with a text a line. The output is JSON
lines, one a text, in the same order.
"""

import json
import sys

from absl import app, flags, logging
import jax

from bigru_jax import inference, sharding
from bigru_jax.data import corpora, files

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run directory.')
_TEXT = flags.DEFINE_string('text', None, 'One text.')
_INPUT = flags.DEFINE_string('input', None, 'A file of texts, or -.')
_OUTPUT = flags.DEFINE_string('output', '-', 'A .jsonl file, or -.')
_TEXT_COLUMN = flags.DEFINE_string('text_column', 'text', 'Its column.')
_BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', 64, 'Texts a batch.', lower_bound=1
)


def read_texts(path, text_column):
  """The texts of a file, or of standard input where the path is -."""
  if (
    path.lower()
    .removesuffix('.gz')
    .endswith(('.csv', '.tsv', '.jsonl', '.parquet'))
  ):
    return files.read_file(path, '--input', text_column, None).texts
  if path == '-':
    text = sys.stdin.buffer.read().decode('utf-8', 'replace')
  else:
    text = files.read_text(path, '--input', may_be_blank=True)
  return text.removesuffix('\n').split('\n') if text else []


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'not a flag: {argv[1]}')
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)
  jax.config.update(
    'jax_compilation_cache_dir', str(corpora.cache_dir() / 'compiled')
  )
  try:
    if not _WORKDIR.value:
      raise ValueError('--workdir: name the run to predict with')
    if (_TEXT.value is None) == (_INPUT.value is None):
      raise ValueError('give either --text or --input')
    if _TEXT.value is not None:
      texts = [_TEXT.value]
    else:
      texts = read_texts(_INPUT.value, _TEXT_COLUMN.value)
    sharding.use_cpu_devices(0, _BATCH_SIZE.value)
    answers = inference.Predictor(_WORKDIR.value, _BATCH_SIZE.value)(texts)
    lines = (json.dumps(answer) + '\n' for answer in answers)
    if _OUTPUT.value == '-':
      sys.stdout.writelines(lines)
    else:
      with open(_OUTPUT.value, 'w', encoding='utf-8') as file:
        file.writelines(lines)
  except (ValueError, OSError) as error:
    print(f'predict.py: {error}', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
  app.run(main)
