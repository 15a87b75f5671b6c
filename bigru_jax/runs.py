"""A run directory on disk: what it holds, written and read.

  config.json       the configuration
  vocabulary.txt    a token a line (or tokenizer.json)
  labels.json       the classes' names, by index
  metrics.jsonl     a line an evaluation
  checkpoints/      see checkpoints.py
  events.out.*      TensorBoard
  lock              who trains here now
  damaged/          checkpoints that could not be read
  result.json       the figures at the end

Everything is text or arrays; nothing is unpickled or executed.
"""

import contextlib
import dataclasses
import fcntl
import functools
import json
import logging
import os
import pathlib
import shutil
import socket

from bigru_jax.config import Config
from bigru_jax.data import text

_log = logging.getLogger(__name__)


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


@contextlib.contextmanager
def locked(workdir):
  """Holds a run directory, which it makes, against other processes.

  The system gives the lock of a process back when that ends, however it ends.

  Raises:
    ValueError: another process holds it; the message says which.
    OSError: the directory cannot be written.
  """
  workdir = pathlib.Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  with (workdir / 'lock').open('a+', encoding='utf-8') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      file.seek(0)
      raise ValueError(
        f'--workdir: {workdir} is in use by {file.read(200).strip()}'
      ) from None
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    yield


def check_same(workdir, config, classes, vocabulary):
  """Compares a run that goes on with what it was begun with.

  Another value of a harmless field is written to its config.json.

  Raises:
    ValueError: a flag that is not harmless, or the data, are not the same.
  """
  before = read_config(workdir)
  changed = {
    field.name: field.metadata.get('harmless', False)
    for field in dataclasses.fields(Config)
    if getattr(before, field.name) != getattr(config, field.name)
  }
  differing = [
    f'--{name} ({getattr(before, name)!r} there)'
    for name, harmless in changed.items()
    if not harmless
  ]
  if differing:
    raise ValueError(
      f'--workdir: {workdir} holds another run, which differs in '
      f'{", ".join(differing)}'
    )
  known = read_tokenizer(workdir, config)[2]
  if read_labels(workdir) != classes or known != vocabulary:
    raise ValueError(
      f'--workdir: {workdir} was begun with other data: its '
      'labels or its vocabulary differ'
    )
  if changed:
    _log.info('the run goes on with another %s', ', '.join(changed))
    write_json(pathlib.Path(workdir) / 'config.json', vars(config))


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
    self._purge_step = self.lines[-1]['step'] + 1 if self.lines else 0

  @functools.cached_property
  def _board(self):
    # After the first epoch: it imports PyTorch where that is installed.
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(self._path.parent), purge_step=self._purge_step)

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
