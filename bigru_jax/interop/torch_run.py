"""Makes a run directory from a PyTorch classifier and its vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import re
import unicodedata

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bigru_jax.config import Config
from bigru_jax.data import text
from bigru_jax.data.open_files import check_file, without_repeats
from bigru_jax.data.tokenizer import (
  JsonTokenizer,
  Tokenizer,
  VocabularyTokenizer,
  vocabulary_lines,
)
from bigru_jax.interop.torch import (
  DEFAULT_MODULES,
  Modules,
  classifier_from_torch,
)
from bigru_jax.rundir import lock, same_run
from bigru_jax.rundir.checkpoints import Checkpoints
from bigru_jax.runtime.precision import single_precision
from bigru_jax.training.fit import Progress
from bigru_jax.training.state import TrainState

_log = logging.getLogger(__name__)


@single_precision()
def write_run(
  workdir: str | os.PathLike,
  state: Mapping[str, np.ndarray],
  vocabulary: Sequence[str],
  labels: Sequence[str],
  *,
  modules: Modules = DEFAULT_MODULES,
  pooling: str = '',
  tokenizer: str = 'words',
  padding: str = text.PAD,
  unknown: str = text.UNK,
  max_length: int = 512,
  identity: Mapping[str, str] | None = None,
) -> None:
  """Writes a run directory that `load` opens, like that of a training.

  All sizes follow from the shapes. The rows of the embedding table are
  reordered: padding, the unknown token, then the others. Tokens with a line
  break, which no tokenizer of `text.TOKENIZERS` gives, are dropped.

  Args:
    workdir: the run directory, which is created.
    state: the classifier's state dict.
    vocabulary: its tokens, by id.
    labels: its classes' names, by index. If there are two labels and one
      output, the output is the logit of the second label.
    modules: the names of its modules.
    pooling: see `classifier_from_torch`.
    tokenizer: a name of `text.TOKENIZERS`, or the path of a tokenizer.json with
      the tokens of the vocabulary.
    padding: the padding token of the vocabulary; if empty, padding gets a row
      of zeros.
    unknown: the token that replaces any token outside the vocabulary.
    max_length: the maximal number of tokens of a text.
    identity: digests of the model's sources, for data.json.

  Raises:
    ValueError: the state dict, the vocabulary and the labels do not match, the
      tokenizer gives none of the tokens, or the directory has a run or other
      files.
  """
  workdir = pathlib.Path(workdir).expanduser()
  params = classifier_from_torch(state, modules, pooling)
  table_VxE = params['embedding']
  if len(vocabulary) != len(table_VxE):
    raise ValueError(
      f'vocabulary: {len(vocabulary)} tokens, and {modules.embedding}.weight '
      f'has {len(table_VxE)} rows'
    )
  made, ids = _arranged(vocabulary, tokenizer, padding, unknown)
  # The row after the last is one of zeros.
  params['embedding'] = np.pad(table_VxE, ((0, 1), (0, 0)))[ids]
  outputs = len(params['output']['bias'])
  _check_labels(labels, outputs, modules.dense)
  encoder = params['encoder']
  config = Config(
    dataset='',  # The data are unknown.
    tokenizer=tokenizer,
    max_length=max_length,
    embedding_size=table_VxE.shape[1],
    hidden_size=encoder['recurrent_kernel_0'].shape[2],
    num_layers=sum(name.startswith('input_kernel') for name in encoder),
    pooling=pooling
    or ('additive' if 'kernel' in params['attention'] else 'dot'),
    loss='sigmoid' if outputs < len(labels) else 'softmax',
  )
  # The run has no data and is never resumed, so it needs no optimizer's state.
  train_state = TrainState.create(
    jax.tree.map(jnp.asarray, params), optax.identity()
  )
  progress = Progress(best={'step': 0, 'epoch': 0})
  with lock.locked(workdir, 'output'):
    if (workdir / 'config.json').exists():
      raise ValueError(f'output={workdir} already contains a run')
    # One of them may be the vocabulary or the weights that are converted.
    if any(path.name != 'lock' for path in workdir.iterdir()):
      raise ValueError(
        f'output={workdir} contains other files; choose a new or empty folder'
      )
    same_run.create_or_check(
      workdir, config, list(labels), made, dict(identity or {})
    )
    with contextlib.closing(Checkpoints(workdir)) as saved:
      saved.save(train_state, dataclasses.asdict(progress))


def read_vocabulary(path: str | os.PathLike) -> list[str]:
  """Reads the tokens of a vocabulary, in the order of their ids.

  Args:
    path: a JSON object of tokens and ids (.json), or a text file with one token
      per line, whose ids are the line numbers from 0. All lines end with a line
      feed, or all with a carriage return and a line feed; any other character
      is part of a token.

  Raises:
    FileNotFoundError, ValueError: there is no such file, or it is not a
      vocabulary.
  """
  field, path = f'vocabulary={path}', pathlib.Path(path)
  check_file(path, 'vocabulary')
  try:
    content = path.read_bytes().decode('utf-8-sig', 'surrogatepass')
    ids = None
    if path.suffix == '.json':
      ids = json.loads(content, object_pairs_hook=without_repeats)
  except (OSError, ValueError, RecursionError) as error:
    raise ValueError(f'{field}: {error}') from error
  if path.suffix != '.json':
    tokens = vocabulary_lines(content)
    rows: dict[str, int] = {}  # By token.
    for row, token in enumerate(tokens, 1):
      if rows.setdefault(token, row) != row:
        raise ValueError(
          f'{field}, row {row}: {token!r} is already in row {rows[token]}'
        )
    return tokens
  if not isinstance(ids, dict) or list(range(len(ids))) != sorted(
    i for i in ids.values() if type(i) is int
  ):
    raise ValueError(
      f'{field}: expected a JSON object of tokens and their ids, which number '
      'the tokens from 0 without gaps'
    )
  return sorted(ids, key=ids.__getitem__)


def _arranged(
  vocabulary: Sequence[str], tokenizer: str, padding: str, unknown: str
) -> tuple[Tokenizer, list[int]]:
  """Returns a run's tokenizer, and the program's id for each of its ids.

  The id after the program's last one is padding that the program does not have.
  """
  _check_tokens(vocabulary)
  special = [
    _id(vocabulary, padding, 'padding') if padding else len(vocabulary),
    _id(vocabulary, unknown, 'unknown'),
  ]
  if tokenizer not in text.TOKENIZERS:
    made = JsonTokenizer(tokenizer)
    if made.tokens() != list(vocabulary):
      raise ValueError(f'vocabulary differs from that of tokenizer={tokenizer}')
    return made, [*special, *range(len(vocabulary))]
  ordinary = [i for i in range(len(vocabulary)) if i not in special]
  _check_tokenizer(tokenizer, [vocabulary[i] for i in ordinary])
  ordinary = [i for i in ordinary if '\n' not in vocabulary[i]]
  tokens = [text.PAD, text.UNK, *(vocabulary[i] for i in ordinary)]
  return VocabularyTokenizer(tokenizer, tokens), [*special, *ordinary]


def _id(vocabulary: Sequence[str], token: str, field: str) -> int:
  if token not in vocabulary:
    raise ValueError(f'{field}={token}: no such token in the vocabulary')
  return vocabulary.index(token)


def _check_labels(labels: Sequence[str], outputs: int, dense: str) -> None:
  """Raises ValueError if the labels do not match the outputs."""
  names = {label for label in labels if isinstance(label, str)}
  if len(names) < len(labels) or len(labels) not in {outputs, max(outputs, 2)}:
    raise ValueError(
      f'labels={",".join(map(str, labels))}: give {outputs} different names, '
      f'because {dense} has {outputs} outputs, or two names for one output'
    )


def _check_tokens(vocabulary: Sequence[str]) -> None:
  """Raises ValueError if an entry is not a valid text or occurs twice."""
  ids: dict[str, int] = {}
  for i, token in enumerate(vocabulary):
    if not isinstance(token, str):
      raise ValueError(f'vocabulary: token {i} is {token!r}, not a text')
    # Texts that are read have a question mark instead.
    if re.search('[\ud800-\udfff]', token):
      raise ValueError(f'vocabulary: {token!r} holds a lone surrogate')
    if ids.setdefault(token, i) != i:
      raise ValueError(
        f'vocabulary: {token!r} occurs twice, with ids {ids[token]} and {i}'
      )


def _check_tokenizer(tokenizer: str, tokens: Sequence[str]) -> None:
  """Warns of tokens that a tokenizer cannot give.

  Args:
    tokenizer: a name of `text.TOKENIZERS`.
    tokens: the vocabulary without padding and the unknown token.

  Raises:
    ValueError: the tokenizer gives none of them.
  """
  # A tokenizer can give a token if it keeps it whole when it is the text.
  split = text.TOKENIZERS[tokenizer]
  lost = [token for token in tokens if split(token) != [token]]
  if not lost:
    return
  counts = {
    name: sum(split(token) == [token] for token in tokens)
    for name, split in text.TOKENIZERS.items()
  }
  best = max(counts, key=counts.__getitem__)
  examples = ', '.join(
    repr(x) + ('' if unicodedata.is_normalized('NFC', x) else ' (not in NFC)')
    for x in lost[:3]
  )
  message = (
    f'vocabulary: {len(lost)} of {len(tokens)} tokens can never occur with '
    f'tokenizer={tokenizer}, such as {examples}'
  )
  if counts[best] > counts[tokenizer]:
    message += f'; with tokenizer={best} {counts[best]} can'
  if len(lost) == len(tokens):
    raise ValueError(message)
  _log.warning('%s', message)
