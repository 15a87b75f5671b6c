"""A run directory from a PyTorch classifier and its vocabulary."""

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
  tokenizer: str = 'words',
  padding: str = text.PAD,
  unknown: str = text.UNK,
  max_length: int = 512,
  identity: Mapping[str, str] | None = None,
) -> None:
  """Writes a run directory that `load` opens, as training does.

  All sizes follow from the shapes. The rows of the embedding table are ordered
  as ours are: the padding's, the unknown token's, then the others. A token with
  a line break, which no tokenizer of `text.TOKENIZERS` gives, is left out.

  Args:
    workdir: the run directory; it is made.
    state: the classifier's state dict.
    vocabulary: its tokens, by id.
    labels: its classes' names, by index. With two of them and one output, the
      output is the logit of the second.
    modules: the names of its modules.
    tokenizer: a name of `text.TOKENIZERS`, or a tokenizer.json, whose tokens
      are then the vocabulary.
    padding: the token of the vocabulary whose row is the padding's; empty for
      none, and a row of zeros, which nothing reads.
    unknown: the token whose row is that of any token outside the vocabulary.
    max_length: tokens kept of a text.
    identity: digests of where the model comes from, for data.json.

  Raises:
    ValueError: the state dict, the vocabulary and the labels do not fit, the
      tokenizer gives none of the tokens, or the directory holds a run or any
      other file.
  """
  workdir = pathlib.Path(workdir).expanduser()
  params = classifier_from_torch(state, modules)
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
    dataset='',  # It is not known.
    tokenizer=tokenizer,
    max_length=max_length,
    embedding_size=table_VxE.shape[1],
    hidden_size=encoder['recurrent_kernel_0'].shape[2],
    num_layers=sum(name.startswith('input_kernel') for name in encoder),
    pooling='additive' if 'kernel' in params['attention'] else 'dot',
    loss='sigmoid' if outputs < len(labels) else 'softmax',
  )
  # The run has no data and is never resumed, so it needs no optimizer's state.
  train_state = TrainState.create(
    jax.tree.map(jnp.asarray, params), optax.identity()
  )
  progress = Progress(best={'step': 0, 'epoch': 0})
  with lock.locked(workdir, 'output'):
    if (workdir / 'config.json').exists():
      raise ValueError(f'output={workdir} holds a run already')
    # One of them may be the vocabulary or the weights that are converted.
    if any(path.name != 'lock' for path in workdir.iterdir()):
      raise ValueError(
        f'output={workdir} holds other files; name a new folder or an empty one'
      )
    same_run.create_or_check(
      workdir, config, list(labels), made, dict(identity or {})
    )
    with contextlib.closing(Checkpoints(workdir)) as saved:
      saved.save(train_state, dataclasses.asdict(progress))


def read_vocabulary(path: str | os.PathLike) -> list[str]:
  """The tokens of a vocabulary, by id.

  Args:
    path: a JSON object of tokens and ids (.json), or one token per line, whose
      id is its line's number from 0. Lines end with a line feed, or all of them
      with a carriage return and a line feed; any other character is part of a
      token.

  Raises:
    FileNotFoundError, ValueError: there is no such file, or it holds something
      else.
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
    rows: dict[str, int] = {}  # Of each token.
    for row, token in enumerate(tokens, 1):
      if rows.setdefault(token, row) != row:
        raise ValueError(
          f'{field}, row {row}: {token!r} is in row {rows[token]} already'
        )
    return tokens
  if not isinstance(ids, dict) or list(range(len(ids))) != sorted(
    i for i in ids.values() if type(i) is int
  ):
    raise ValueError(
      f'{field}: expected a JSON object of tokens and their ids, which are 0 '
      'and all numbers from there'
    )
  return sorted(ids, key=ids.__getitem__)


def _arranged(
  vocabulary: Sequence[str], tokenizer: str, padding: str, unknown: str
) -> tuple[Tokenizer, list[int]]:
  """The tokenizer of a run, and the program's id of each of its ids.

  The id after the program's last is that of a padding which it does not have.
  """
  _check_tokens(vocabulary)
  special = [
    _id(vocabulary, padding, 'padding') if padding else len(vocabulary),
    _id(vocabulary, unknown, 'unknown'),
  ]
  if tokenizer not in text.TOKENIZERS:
    made = JsonTokenizer(tokenizer)
    if made.tokens() != list(vocabulary):
      raise ValueError(f'vocabulary: it is not that of tokenizer={tokenizer}')
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
  """Raises ValueError where the labels do not name the outputs."""
  names = {label for label in labels if isinstance(label, str)}
  if len(names) < len(labels) or len(labels) not in {outputs, max(outputs, 2)}:
    raise ValueError(
      f'labels={",".join(map(str, labels))}: give {outputs} different names, '
      f'for {dense} has {outputs} outputs, or two names for one output'
    )


def _check_tokens(vocabulary: Sequence[str]) -> None:
  """Raises ValueError where an entry is not a valid text, or occurs twice."""
  ids: dict[str, int] = {}
  for i, token in enumerate(vocabulary):
    if not isinstance(token, str):
      raise ValueError(f'vocabulary: token {i} is {token!r}, not a text')
    # A text that is read has a question mark in its place.
    if re.search('[\ud800-\udfff]', token):
      raise ValueError(f'vocabulary: {token!r} holds a lone surrogate')
    if ids.setdefault(token, i) != i:
      raise ValueError(
        f'vocabulary: {token!r} is in it twice, as {ids[token]} and as {i}'
      )


def _check_tokenizer(tokenizer: str, tokens: Sequence[str]) -> None:
  """Warns of tokens that a tokenizer cannot give.

  Args:
    tokenizer: a name of `text.TOKENIZERS`.
    tokens: the vocabulary without the tokens for padding and the unknown.

  Raises:
    ValueError: it gives none of them.
  """
  # A tokenizer gives those tokens that are tokens as a whole text.
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
