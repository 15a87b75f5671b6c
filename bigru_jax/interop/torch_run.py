"""A run directory from a PyTorch classifier and its vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bigru_jax import runs
from bigru_jax.checkpoints import Checkpoints
from bigru_jax.config import Config
from bigru_jax.data import text
from bigru_jax.data.prepare import Dataset
from bigru_jax.interop.torch import (
  DEFAULT_MODULES,
  Modules,
  classifier_from_torch,
)
from bigru_jax.runtime.precision import single_precision
from bigru_jax.training.loop import Progress
from bigru_jax.training.state import TrainState


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
  as ours are: the padding's, the unknown token's, then the others.

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
    ValueError: the state dict, the vocabulary and the labels do not fit, or
      the directory holds a run.
  """
  workdir = pathlib.Path(workdir).expanduser()
  params = classifier_from_torch(state, modules)
  table_VxE = params['embedding']
  if len(vocabulary) != len(table_VxE):
    raise ValueError(
      f'vocabulary: {len(vocabulary)} tokens, and {modules.embedding}.weight '
      f'has {len(table_VxE)} rows'
    )
  first = [
    _row(vocabulary, padding, 'padding') if padding else len(table_VxE),
    _row(vocabulary, unknown, 'unknown'),
  ]
  # The row after the last is one of zeros.
  table_VxE = np.pad(table_VxE, ((0, 1), (0, 0)))
  if tokenizer in text.TOKENIZERS:
    others = [i for i in range(len(vocabulary)) if i not in first]
    tokens = [text.PAD, text.UNK, *(vocabulary[i] for i in others)]
    _check_tokens(tokens)
    made: text.Tokenizer = text.VocabularyTokenizer(tokenizer, tokens)
  else:
    others = list(range(len(vocabulary)))
    made = text.JsonTokenizer(tokenizer)
  params['embedding'] = table_VxE[[*first, *others]]
  outputs = len(params['output']['bias'])
  binary = outputs == 1 and len(labels) == 2
  if len(labels) != outputs and not binary or len(set(labels)) < len(labels):
    raise ValueError(
      f'labels={",".join(labels)}: give {outputs} different names, for '
      f'{modules.dense} has {outputs} outputs, or two names for one output'
    )
  encoder = params['encoder']
  config = Config(
    dataset='',  # It is not known.
    tokenizer=tokenizer,
    max_length=max_length,
    embedding_size=table_VxE.shape[1],
    hidden_size=encoder['recurrent_kernel_0'].shape[2],
    num_layers=sum(name.startswith('input_kernel') for name in encoder),
    attention='additive' if 'kernel' in params['attention'] else 'dot',
    loss='sigmoid' if binary else 'softmax',
  )
  data = Dataset(
    splits={},
    labels=list(labels),
    label_weights=np.ones(len(labels), np.float32),
    tokenizer=made,
    seen=made.size,
    vectors={},
    notes=[],
    identity=dict(identity or {}),
  )
  # Nothing resumes it, for it has no data; so there is no optimizer's state.
  train_state = TrainState.create(
    jax.tree.map(jnp.asarray, params), optax.identity()
  )
  progress = Progress(best={'step': 0, 'epoch': 0})
  with runs.locked(workdir, 'output'):
    if (workdir / 'config.json').exists():
      raise ValueError(f'output={workdir} holds a run already')
    runs.create_or_check(workdir, config, data)
    with contextlib.closing(Checkpoints(workdir)) as saved:
      saved.save(train_state, dataclasses.asdict(progress))


def read_vocabulary(path: str | os.PathLike) -> list[str]:
  """The tokens of a vocabulary, by id.

  Args:
    path: a JSON object of tokens and ids (.json), or one token per line, whose
      id is its line's number from 0.

  Raises:
    FileNotFoundError, ValueError: there is none, or it holds something else.
  """
  field, path = f'vocabulary={path}', pathlib.Path(path)
  try:
    content = path.read_text('utf-8')
    ids = json.loads(content) if path.suffix == '.json' else None
  except FileNotFoundError:
    raise FileNotFoundError(f'{field}: no such file') from None
  except (OSError, ValueError, RecursionError) as error:
    raise ValueError(f'{field}: {error}') from error
  if path.suffix != '.json':
    tokens = content.removesuffix('\n').split('\n')
    rows: dict[str, int] = {}
    for row, token in enumerate(tokens, 1):
      if rows.setdefault(token, row) != row:
        raise ValueError(
          f'{field}, row {row}: {token!r} stands in row {rows[token]} already'
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


def _row(vocabulary: Sequence[str], token: str, field: str) -> int:
  if token not in vocabulary:
    raise ValueError(f'{field}={token}: no such token in the vocabulary')
  return vocabulary.index(token)


def _check_tokens(tokens: list[str]) -> None:
  """Raises ValueError where vocabulary.txt cannot hold the tokens."""
  seen = set[str]()
  for token in tokens:
    if token in seen:
      raise ValueError(
        f'vocabulary: {token!r} stands in it twice, or is a name that only '
        'padding or unknown can have'
      )
    if '\n' in token:
      raise ValueError(f'vocabulary: {token!r} holds a line break')
    seen.add(token)
