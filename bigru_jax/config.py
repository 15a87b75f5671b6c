"""The configuration of a run: one frozen dataclass, in groups.

The absl flags are made of it, in `cli.config_flags`, so a field, its flag
and a Python argument have one name, one default and one check.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from typing import Any

import numpy as np

from bigru_jax.data.corpora import CORPORA
from bigru_jax.data.glove import NAMED_VECTORS
from bigru_jax.data.tabular_files import expand_users
from bigru_jax.data.text import TOKENIZERS
from bigru_jax.data.truncation import TRUNCATIONS
from bigru_jax.losses import LOSSES
from bigru_jax.models.classifier import ATTENTIONS, ENCODERS
from bigru_jax.models.pooling import MULTI_HEADED, POOLINGS
from bigru_jax.optimizers import OPTIMIZERS, SCHEDULES
from bigru_jax.tasks import TASKS


def _field(default: Any, help_text: str, **options: Any) -> Any:
  """A field with its help and the bounds of its value.

  Options: `lower` (at least), `below` (less than), `choices`, `group` (the
  first field of a group names it), `mutable` (it may change on resuming) and
  `path` (a ~ is expanded).
  """
  return dataclasses.field(
    default=default, metadata={'help': help_text, **options}
  )


@dataclasses.dataclass(frozen=True)
class Config:
  """Everything that decides a run; `run.py --help` explains each field.

  Example:
    >>> Config(dataset='trec', data_dir='trec', learning_rate=2e-3).hidden_size
    128

  Raises:
    ValueError: a value is out of its bounds; the message names the field.
  """

  dataset: str = _field(
    'rotten_tomatoes',
    f'{", ".join(CORPORA)}, or tfds:<name>[/<config>].',
    group='Data',
  )
  data_dir: str = _field(
    '',
    "The folder that directly holds a data set's original files.",
    path=True,
  )
  train: str = _field(
    '',
    'A file of your own: .csv, .tsv, .jsonl, .json or .parquet, compressed or '
    'not; several with commas between, or a pattern such as data/train-*.csv.',
    path=True,
  )
  validation: str = _field(
    '',
    'The same, for validation; without it a tenth of train is held out.',
    path=True,
  )
  test: str = _field(
    '',
    'The same, for the test; without it a tenth of train is held out.',
    path=True,
  )
  text_column: str = _field('text', 'The column that holds the text.')
  label_column: str = _field(
    'label',
    'The column that holds the label; or for multi_label a column of 0 and 1 '
    'for each label, with commas between: toxic,insult.',
  )
  encoding: str = _field(
    '', 'Of your files; by default UTF-8, or UTF-16 with its byte-order mark.'
  )
  delimiter: str = _field(
    '', 'Of .csv files; by default found among comma, semicolon and tab.'
  )
  task: str = _field(
    'single_label',
    'single_label: one label per text; multi_label: any number of them.',
    choices=tuple(TASKS),
  )
  label_separator: str = _field(
    '|', 'Between the labels of a text, for multi_label, in a string.'
  )
  label_names: str = _field(
    '',
    'The names of the labels of multi-hot lists such as [0, 1, 1], with commas '
    'between; by default 0, 1, 2, ...',
  )
  sst_phrases: bool = _field(False, 'Train sst1 and sst2 on all phrases.')
  split_seed: int = _field(
    0,
    'Seed of what is held out, apart from `seed`, so that runs over several '
    'seeds share a test set.',
    lower=0,
  )
  folds: int = _field(
    0,
    'Folds of a cross-validation, in place of a test split: of data that have '
    'none. 0 for no cross-validation.',
    lower=0,
  )
  fold: int = _field(0, 'The fold that is the test, from 0.', lower=0)

  tokenizer: str = _field(
    'words',
    f'{", ".join(TOKENIZERS)}, or a tokenizer.json.',
    group='Text',
    path=True,
  )
  max_length: int = _field(
    512,
    'Tokens kept of a text in the flat model; the others are dropped.',
    lower=1,
  )
  max_sentences: int = _field(
    50,
    'Sentences kept of a text in the hierarchical model, in place of '
    'max_length.',
    lower=1,
  )
  truncate: str = _field(
    'head',
    'Which tokens of a longer text the flat model keeps, and which sentences '
    'the hierarchical one: the first, the last, or half of each.',
    choices=tuple(TRUNCATIONS),
  )
  max_sentence_length: int = _field(
    50,
    "Tokens of the hierarchical model's longest sentence; a longer one "
    'continues in further sentences.',
    lower=1,
  )
  max_vocabulary: int = _field(50_000, 'Size of the vocabulary.', lower=3)
  min_count: int = _field(
    1, 'A token that occurs less often in train is <unk>.', lower=1
  )
  embeddings: str = _field(
    '',
    f'A GloVe, word2vec or fastText file, or {", ".join(NAMED_VECTORS)}, which '
    'is fetched.',
    path=True,
  )
  freeze_embeddings: bool = _field(False, 'Do not train the embeddings.')

  embedding_size: int = _field(
    0,
    "A token vector's size; 0 for 100, or for that of fetched vectors.",
    lower=0,
    group='Model',
  )
  model: str = _field(
    'flat',
    'flat reads a text as one sequence of tokens, hierarchical as sentences of '
    'tokens: a BiGRU and an attention over the words of each, and a second '
    'pair over the sentences.',
    choices=('flat', 'hierarchical'),
  )
  encoder: str = _field(
    'bigru',
    'Of the flat model: average makes a state of each token alone, without '
    'recurrence.',
    choices=ENCODERS,
  )
  hidden_size: int = _field(128, 'Units of each direction.', lower=1)
  num_layers: int = _field(1, 'BiGRU layers.', lower=1)
  attention: str = _field(
    'additive', 'The pooling of the states.', choices=ATTENTIONS
  )
  num_heads: int = _field(
    4, 'Heads of multi_head, and hops of structured.', lower=1
  )
  dropout: float = _field(
    0.5,
    'Rate on the pooled states and between layers.',
    lower=0.0,
    below=1.0,
  )
  embedding_dropout: float = _field(
    0.5, 'Rate on the embedded tokens.', lower=0.0, below=1.0
  )
  word_dropout: float = _field(
    0.0, 'Rate at which tokens become <unk>.', lower=0.0, below=1.0
  )
  recurrent_dropout: float = _field(
    0.0, 'Rate of variational dropout on the state.', lower=0.0, below=1.0
  )
  weight_drop: float = _field(
    0.0, 'Rate of dropout on the recurrent kernels.', lower=0.0, below=1.0
  )
  dtype: str = _field(
    'float32',
    'Type of the computation; parameters, softmax and loss are float32.',
    choices=('float32', 'bfloat16'),
  )

  loss: str = _field(
    'softmax',
    'The cross entropy of single_label; that of multi_label is sigmoid.',
    choices=tuple(LOSSES),
    group='Loss and optimizer',
  )
  label_smoothing: float = _field(
    0.0, 'Share of the target that is spread.', lower=0.0, below=1.0
  )
  class_weights: str = _field(
    '',
    '"balanced", or comma-separated numbers, one per class in the order of '
    'labels.json. For multi_label they weigh the texts that have the label.',
  )
  attention_penalty: float = _field(
    0.0, 'Of heads that overlap, for multi_head and structured.', lower=0.0
  )
  adversarial: float = _field(
    0.0,
    'The norm of the adversarial perturbation of the embedded tokens of a '
    'text, whose loss is added; 0 for none.',
    lower=0.0,
  )
  virtual_adversarial: float = _field(
    0.0,
    'The same of the perturbation that changes the prediction most.',
    lower=0.0,
  )
  threshold: str = _field(
    '0.5',
    'The probability from which multi_label says that a text has a label: 0.5, '
    'or chosen on validation, one for all labels (tuned) or per_label.',
    choices=('0.5', 'tuned', 'per_label'),
  )
  optimizer: str = _field('adamw', 'The optimizer.', choices=tuple(OPTIMIZERS))
  learning_rate: float = _field(1e-3, 'The peak learning rate.', lower=0.0)
  weight_decay: float = _field(
    1e-2, 'Of adamw, on matrices and not on biases.', lower=0.0
  )
  embedding_learning_rate_factor: float = _field(
    1.0,
    "The whole embedding table's learning rate over that of the others.",
    lower=0.0,
  )
  schedule: str = _field(
    'cosine', 'The learning rate over the steps.', choices=tuple(SCHEDULES)
  )
  warmup: float = _field(
    0.05,
    'Share of all steps over which the learning rate rises.',
    lower=0.0,
    below=1.0,
  )
  clip_norm: float = _field(
    1.0, "The gradient's largest global norm; 0 for no limit.", lower=0.0
  )

  ema_decay: float = _field(
    0.0,
    'Decay of the moving average of the parameters, which is what is '
    'evaluated and kept; 0 for none.',
    lower=0.0,
    below=1.0,
  )

  batch_size: int = _field(
    64, 'Examples per batch, over all devices.', lower=1, group='Training'
  )
  epochs: int = _field(10, 'Maximum epochs.', lower=1, mutable=True)
  patience: int = _field(
    3,
    'Stop after this many epochs without an improvement.',
    lower=1,
    mutable=True,
  )
  select_by: str = _field(
    'loss',
    'The validation metric that selects the best epoch; semeval2010 is the F1 '
    "of that task's scorer, for labels such as Cause-Effect(e1,e2).",
    choices=('loss', 'accuracy', 'macro_f1', 'semeval2010'),
  )
  seed: int = _field(
    0, 'Seed of initialization, dropout and shuffling.', lower=0
  )
  cpu_devices: int = _field(
    0,
    'XLA host devices that a CPU is divided into, to try sharding on one '
    "machine; 0 for JAX's own number, one.",
    lower=0,
    mutable=True,
  )
  checkpoint_every: int = _field(
    500, 'Steps between checkpoints inside an epoch.', lower=1, mutable=True
  )
  max_nonfinite_steps: int = _field(
    10,
    'Stop after this many consecutive steps whose loss or gradient is not '
    'finite.',
    lower=1,
    mutable=True,
  )

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = _checked(field, getattr(self, field.name))
      if field.metadata.get('path'):
        value = expand_users(value)
      object.__setattr__(self, field.name, value)
    size = NAMED_VECTORS.get(self.embeddings)
    if size and self.embedding_size not in (0, size):
      raise ValueError(
        f'embedding_size={self.embedding_size}: {self.embeddings} has vectors '
        f'of {size} numbers'
      )
    if self.folds == 1 or self.fold >= max(self.folds, 1):
      raise ValueError(
        f'fold={self.fold}: with folds={self.folds} it is at least 0 and below '
        'folds, which is 0 or above 1'
      )
    if self.attention_penalty and self.attention not in MULTI_HEADED:
      raise ValueError(
        f'attention_penalty={self.attention_penalty} needs attention='
        f'{" or ".join(MULTI_HEADED)}'
      )
    if self.attention == 'multi_head' and 2 * self.hidden_size % self.num_heads:
      raise ValueError(
        f'num_heads={self.num_heads} does not divide the '
        f'{2 * self.hidden_size} features of hidden_size={self.hidden_size}'
      )
    if self.freeze_embeddings and self.embedding_learning_rate_factor != 1:
      raise ValueError(
        f'embedding_learning_rate_factor={self.embedding_learning_rate_factor} '
        'and freeze_embeddings exclude each other'
      )
    if self.select_by == 'semeval2010' and self.task != 'single_label':
      raise ValueError('select_by=semeval2010 needs task=single_label')
    for name in ('adversarial', 'virtual_adversarial', 'attention_penalty'):
      if self.model != 'flat' and getattr(self, name):
        raise ValueError(f'{name}={getattr(self, name)} needs model=flat')
    if self.encoder == 'average':
      for name in ('recurrent_dropout', 'weight_drop'):
        if getattr(self, name):
          raise ValueError(f'{name}={getattr(self, name)} needs encoder=bigru')
      if self.num_layers > 1 or self.model != 'flat':
        raise ValueError('encoder=average needs num_layers=1 and model=flat')
    if self.model == 'hierarchical' and self.attention not in POOLINGS:
      raise ValueError(
        f'attention={self.attention!r}: model=hierarchical takes '
        f'{", ".join(POOLINGS)}'
      )
    if not self.label_separator:
      raise ValueError('label_separator is empty')
    self._check_label_names()
    if not self.embedding_size:
      object.__setattr__(self, 'embedding_size', size or 100)

  def _check_label_names(self) -> None:
    if not self.label_names:
      return
    if self.task != 'multi_label':
      raise ValueError(f'label_names={self.label_names} needs task=multi_label')
    names = [name.strip() for name in self.label_names.split(',')]
    if not all(names) or len(set(names)) < len(names):
      raise ValueError(
        f'label_names={self.label_names}: a name is empty or occurs twice'
      )

  def differing_fields(self, other: Config | None = None) -> list[str]:
    """The names of the fields that differ from another's, or the defaults'."""
    if other is None:
      size = NAMED_VECTORS.get(self.embeddings, 0)  # It follows from the name.
      other = Config(embedding_size=size)
    return [
      field.name
      for field in dataclasses.fields(self)
      if getattr(self, field.name) != getattr(other, field.name)
    ]


def is_mutable(name: str) -> bool:
  """Whether a field may have another value when a run is resumed."""
  return Config.__dataclass_fields__[name].metadata.get('mutable', False)


_TYPES: dict[str, Any] = {'str': str, 'bool': bool, 'int': int, 'float': float}


def _checked(field: dataclasses.Field, value: Any) -> Any:
  """The value in the field's type.

  Raises:
    ValueError: it has another type or is out of its bounds.
  """
  name, limits = field.name, field.metadata
  kind = _TYPES[str(field.type)]
  value = _plain(value, kind, limits.get('path', False))
  if type(value) is not kind:
    hint = ''
    if value is None:
      hint = f': leave it out or give {field.default!r}'
    elif isinstance(value, list | tuple) and kind is str:
      hint = f': give {",".join(map(str, value))!r}'
    raise ValueError(f'{name}={value!r} is not of type {kind.__name__}{hint}')
  if kind is float and not math.isfinite(value):
    raise ValueError(f'{name}={value} is not a finite number')
  if 'lower' in limits and value < limits['lower']:
    raise ValueError(f'{name}={value} is below {limits["lower"]}')
  if kind is int and value >= 2**31:
    raise ValueError(f'{name}={value} is above {2**31 - 1}')
  if 'below' in limits and value >= limits['below']:
    raise ValueError(f'{name}={value} is not below {limits["below"]}')
  if 'choices' in limits and value not in limits['choices']:
    raise ValueError(f'{name}={value!r}: choose {", ".join(limits["choices"])}')
  return value


def _plain(value: Any, kind: type, is_path: bool) -> Any:
  """A number, boolean, string or path of any library as one of Python."""
  if kind is bool and isinstance(value, np.bool_):
    return bool(value)
  if isinstance(value, bool):
    return value
  if kind is int and isinstance(value, numbers.Integral):
    return int(value)
  if kind is float and isinstance(value, numbers.Real):
    return float(value)
  if is_path and isinstance(value, os.PathLike):
    return os.fspath(value)
  if kind is str and isinstance(value, str):
    return str.__str__(value)
  return value
