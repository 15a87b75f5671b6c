"""A run directory on disk: what it holds, written and read.

  config.json       the configuration
  vocabulary.txt    a token a line (or tokenizer.json)
  labels.json       the classes' names, by index
  metrics.jsonl     a line an evaluation
  checkpoints/      see checkpoints.py
  events.out.*      TensorBoard
  result.json       the figures at the end

Everything is text or arrays; nothing is unpickled or executed.
"""

import dataclasses
import json
import os
import pathlib
import shutil

from tensorboardX import SummaryWriter

from bigru_jax.config import Config
from bigru_jax.data import text


def _write(path, content):
  """Writes a file whole or not at all."""
  partial = path.with_name(path.name + '.partial')
  partial.write_text(content, encoding='utf-8', errors='surrogatepass')
  os.replace(partial, path)


def _read(path):
  try:
    return path.read_text(encoding='utf-8', errors='surrogatepass')
  except FileNotFoundError:
    raise FileNotFoundError(
      f'--workdir: {path.parent} is no run: it has no {path.name}'
    ) from None
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(f'--workdir: {path}: {error}') from error


def _read_json(path):
  try:
    return json.loads(_read(path))
  except (ValueError, RecursionError) as error:
    raise ValueError(f'--workdir: {path}: {error}') from error


def write_json(path, value):
  """Writes a value as indented JSON."""
  _write(path, json.dumps(value, indent=2) + '\n')


def read_config(workdir):
  """The configuration of a run.

  Raises:
    FileNotFoundError, ValueError: the file is missing, or holds anything but
      the fields of `Config` within their bounds.
  """
  path = pathlib.Path(workdir) / 'config.json'
  values = _read_json(path)
  known = {field.name for field in dataclasses.fields(Config)}
  if not isinstance(values, dict) or not set(values) <= known:
    raise ValueError(f'--workdir: {path} holds no configuration')
  try:
    return Config(**values)
  except ValueError as error:
    raise ValueError(f'--workdir: {path}: {error}') from error


def read_labels(workdir):
  """The classes' names, by index."""
  path = pathlib.Path(workdir) / 'labels.json'
  labels = _read_json(path)
  if (
    not isinstance(labels, list)
    or len(labels) < 2
    or not all(isinstance(label, str) for label in labels)
  ):
    raise ValueError(f'--workdir: {path}: not a list of class names')
  return labels


def read_tokenizer(workdir, config):
  """The run's text -> tokens, text -> shown tokens, vocabulary and its size.

  The vocabulary is None where the tokeniser yields ids itself.
  """
  workdir = pathlib.Path(workdir)
  if config.tokenizer in text.TOKENIZERS:
    path = workdir / 'vocabulary.txt'
    vocabulary = _read(path).split('\n')[:-1]
    if vocabulary[:2] != [text.PAD, text.UNK]:
      raise ValueError(
        f'--workdir: {path} does not begin with {text.PAD}, {text.UNK}'
      )
    tokenize = text.TOKENIZERS[config.tokenizer]
    return tokenize, tokenize, vocabulary, len(vocabulary)
  path = workdir / 'tokenizer.json'
  ids, pieces, size = text.load_tokenizer_json(path)
  return ids, pieces, None, size


def create(workdir, config, classes, vocabulary):
  """Writes the files that describe a run before it trains."""
  workdir = pathlib.Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  write_json(workdir / 'labels.json', classes)
  if vocabulary is None:
    shutil.copyfile(config.tokenizer, workdir / 'tokenizer.json')
  else:
    _write(workdir / 'vocabulary.txt', '\n'.join(vocabulary) + '\n')
  # The last, so that a folder with a configuration has the rest.
  write_json(workdir / 'config.json', dataclasses.asdict(config))


class MetricsLog:
  """Evaluations, as lines of metrics.jsonl and as TensorBoard scalars.

  Args:
    workdir: the run directory.
    lines: what the log holds already, from a checkpoint; a line written after
      that checkpoint will be written again, so it is dropped.
  """

  def __init__(self, workdir, lines=()):
    self._path = pathlib.Path(workdir) / 'metrics.jsonl'
    self.lines = list(lines)
    _write(self._path, ''.join(json.dumps(x) + '\n' for x in self.lines))
    step = self.lines[-1]['step'] + 1 if self.lines else 0
    self._board = SummaryWriter(str(workdir), purge_step=step)

  def add(self, line):
    """Appends one evaluation."""
    self.lines.append(line)
    with self._path.open('a', encoding='utf-8') as file:
      file.write(json.dumps(line) + '\n')
    for name in ('loss', 'accuracy', 'macro_f1'):
      if name in line:
        self._board.add_scalar(
          f'{line["split"]}/{name}', line[name], line['step']
        )
    self._board.flush()

  def close(self):
    self._board.close()
