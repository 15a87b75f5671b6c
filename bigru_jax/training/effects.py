"""Refuses fields of a configuration that would have no effect.

A rule says which other fields a field needs. The rules apply to new runs only,
so that older runs still resume.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
import dataclasses
from typing import Any

import jax

from bigru_jax.config import Config
from bigru_jax.data import tabular_files
from bigru_jax.data.corpora import CORPORA, find
from bigru_jax.data.sources import Corpus
from bigru_jax.data.splits import NAMES, UNLABELLED
from bigru_jax.data.text import TOKENIZERS
from bigru_jax.losses import losses_with
from bigru_jax.models.pooling import poolings_that
from bigru_jax.optimizers import OPTIMIZERS

_DEFAULTS = Config()
# The terms of the loss that need no label.
_TERMS = 'virtual_adversarial', 'entropy_weight', 'language_model_weight'


def _extensions(config: Config) -> set[str]:
  """Returns the extensions of the user's files, if any."""
  names = (*(NAMES if config.train else ()), UNLABELLED)
  return {
    tabular_files.file_extension(path)
    for name in names
    if getattr(config, name)
    for path in tabular_files.expand_paths(getattr(config, name), name)
  }


def _has_terms_without_labels(config: Config) -> bool:
  return any(getattr(config, name) for name in _TERMS)


_COLUMNS = 'text_column', 'label_column', 'weight_column', 'id_column'
_ANY_FILE = 'train, validation, test or unlabelled'
# Fields, what they need to have an effect, and whether a configuration has it.
_RULES: tuple[tuple[tuple[str, ...], str, Callable[[Config], bool]], ...] = (
  (('dataset',), 'a run without train', lambda c: not c.train),
  (
    ('data_dir',),
    'a dataset that is read from files, without train',
    lambda c: not c.train and find(c.dataset).needs_files,
  ),
  (
    ('text_column',),
    'train, unlabelled, a dataset of tfds, or a table in memory',
    lambda c: bool(c.train or c.unlabelled) or find(c.dataset).has_columns,
  ),
  (
    _COLUMNS[1:],
    'train, a dataset of tfds, or a table in memory',
    lambda c: bool(c.train) or find(c.dataset).has_columns,
  ),
  ((UNLABELLED,), ' or '.join(_TERMS), _has_terms_without_labels),
  (
    ('encoding',),
    f'a text file as {_ANY_FILE}',
    lambda c: bool(_extensions(c) - {'.parquet'}),
  ),
  (
    ('delimiter',),
    f'a .csv file as {_ANY_FILE}',
    lambda c: bool(_extensions(c) & {'.csv', '.pipe'}),
  ),
  (
    ('sst_phrases',),
    f'dataset={" or ".join(n for n, x in CORPORA.items() if x.has_phrases)}',
    lambda c: not c.train and find(c.dataset).has_phrases,
  ),
  (
    ('label_separator',),
    'task=multi_label',
    lambda c: c.task == 'multi_label',
  ),
  (
    ('threshold',),
    'task=multi_label',
    lambda c: c.task == 'multi_label' or c.threshold != 'per_label',
  ),
  (
    ('threshold_metric',),
    'threshold=tuned or per_label',
    lambda c: c.threshold != 'fixed',
  ),
  (
    ('positive_label',),
    'task=single_label',
    lambda c: c.task == 'single_label',
  ),
  (
    ('focal_gamma',),
    f'loss={" or ".join(losses_with("focal_gamma"))}',
    lambda c: c.loss in losses_with('focal_gamma'),
  ),
  (
    ('sampled_words',),
    'language_model_weight, or task=language_model, see bigru pretrain',
    lambda c: bool(c.language_model_weight) or c.task == 'language_model',
  ),
  (('max_length',), 'model=flat', lambda c: c.model == 'flat'),
  (
    ('max_sentences', 'max_sentence_length'),
    'model=hierarchical',
    lambda c: c.model == 'hierarchical',
  ),
  (
    ('replace_urls_and_users',),
    f'tokenizer={" or ".join(TOKENIZERS)}',
    lambda c: c.tokenizer in TOKENIZERS,
  ),
  (
    ('max_vocabulary', 'min_count'),
    f'a vocabulary made from train: tokenizer={" or ".join(TOKENIZERS)}',
    lambda c: c.tokenizer in TOKENIZERS,
  ),
  (
    ('num_heads',),
    f'pooling={" or ".join(poolings_that("is_multi_headed"))}',
    lambda c: c.pooling_entry.is_multi_headed,
  ),
  (('mixup',), 'batch_size above 1', lambda c: c.batch_size > 1),
  (('word_forms',), 'embeddings', lambda c: bool(c.embeddings)),
  (('init_learning_rate_factor',), 'init_from', lambda c: bool(c.init_from)),
  (
    ('embeddings_join',),
    'several files in embeddings',
    lambda c: len(c.vector_sizes) > 1,
  ),
  (
    ('dropout',),
    'num_layers above 1, or no dropout_after_pooling',
    lambda c: c.num_layers > 1 or c.dropout_after_pooling < 0,
  ),
  (
    ('weight_decay',),
    f'optimizer={" or ".join(n for n, x in OPTIMIZERS.items() if x.has_decay)}',
    lambda c: OPTIMIZERS[c.optimizer].has_decay,
  ),
)
# The fields that a language model reads.
FIELDS_OF_LANGUAGE_MODEL = (
  'dataset', 'data_dir', *NAMES, 'text_column', 'encoding', 'delimiter', 'task',
  'sst_phrases', 'split_seed', 'tokenizer', 'replace_urls_and_users',
  'max_length', 'max_vocabulary', 'min_count', 'embedding_size', 'hidden_size',
  'num_layers', 'embedding_dropout', 'spatial_dropout', 'word_dropout',
  'recurrent_dropout', 'sampled_words', 'weight_drop', 'dtype', 'optimizer',
  'learning_rate', 'weight_decay', 'embedding_learning_rate_factor', 'schedule',
  'warmup', 'clip_norm', 'ema_decay', 'batch_size', 'epochs', 'patience',
  'select_by', 'metrics', 'seed', 'cpu_devices', 'checkpoint_every',
  'max_nonfinite_steps',
)  # fmt: skip
# The fields that are not read if the data are in memory.
_OF_FILES = (
  'dataset', 'data_dir', *NAMES, UNLABELLED, 'encoding', 'delimiter',
  'sst_phrases',
)  # fmt: skip


def check_effects(config: Config, corpus: Corpus | None = None) -> None:
  """Refuses values other than the default that would be ignored.

  Args:
    config: the configuration of a new run.
    corpus: its data, if they are in memory.

  Raises:
    ValueError: a field would have no effect; the message says what it needs.
    FileNotFoundError: a file of the configuration is missing.
  """
  if config.task == 'language_model':
    for field in dataclasses.fields(config):
      name = field.name
      if name not in FIELDS_OF_LANGUAGE_MODEL and _differs(config, name):
        value = getattr(config, name)
        raise ValueError(f'{name}={value} has no effect in pretraining')
    if OPTIMIZERS[config.optimizer].is_lazy:
      _refuse(
        config, 'optimizer', 'a task with labels: a softmax uses all rows'
      )
  if corpus is not None:
    for name in _OF_FILES:
      _refuse(config, name, 'a run without a corpus in memory')
    if isinstance(corpus, Mapping) and UNLABELLED in corpus:
      where = f'corpus[{UNLABELLED!r}]'
      in_memory = dataclasses.replace(config, unlabelled=where)  # It checks.
      if not _has_terms_without_labels(in_memory):
        _refuse(in_memory, UNLABELLED, ' or '.join(_TERMS))
  for fields, needs, holds in _RULES:
    for name in fields:
      if name in _COLUMNS and corpus is not None and _has_column(corpus, name):
        continue
      if corpus is not None and name == 'text_column' and config.num_texts > 1:
        continue  # A text in memory may be a tuple.
      if _differs(config, name) and not holds(config):
        _refuse(config, name, needs)


def check_has_labels(config: Config) -> None:
  """Refuses the task of a language model where labels are needed.

  Raises:
    ValueError: it is that task; the message names what takes it.
  """
  if config.task == 'language_model':
    raise ValueError(
      f'task={config.task} has no labels: see bigru pretrain, or '
      'bigru_jax.pretrain'
    )


def check_labels(config: Config, labels: Sequence[str]) -> None:
  """Refuses what only two classes have, where there are more.

  Args:
    config: the configuration of a new run.
    labels: the names of the classes.

  Raises:
    ValueError: there are more classes, or positive_label is not one of the two.
  """
  if config.task == 'single_label' and len(labels) != 2:
    needs = f'two classes, and there are {len(labels)}'
    _refuse(config, 'positive_label', needs)
    _refuse(config, 'threshold', f'{needs}, or task=multi_label')
  elif config.positive_label and config.positive_label not in labels:
    raise ValueError(
      f'positive_label={config.positive_label} is not a label of the data: '
      f'{", ".join(labels)}'
    )


def check_split_seed(config: Config, read: Collection[str]) -> None:
  """Refuses a split_seed that the data would ignore.

  Args:
    config: the configuration of a new run.
    read: the splits that the data define.

  Raises:
    ValueError: no split is drawn with it.
  """
  generated = not config.train and find(config.dataset).is_generated
  # A language model does without a test split.
  needed = {*NAMES} - ({'test'} if config.task == 'language_model' else set())
  if needed <= set(read) and not generated:
    _refuse(config, 'split_seed', 'data without a validation or a test split')


def check_devices(config: Config) -> None:
  """Refuses cpu_devices if JAX has other devices, and mixup without pairs.

  Raises:
    ValueError: the message names the devices.
  """
  devices = jax.local_devices()
  kind = devices[0].platform
  if config.cpu_devices and (len(devices), kind) != (config.cpu_devices, 'cpu'):
    raise ValueError(
      f'cpu_devices={config.cpu_devices} needs a CPU on Linux, and must be set '
      f'before JAX starts, as bigru run does: JAX has {len(devices)} {kind} '
      'devices'
    )
  if config.mixup and config.batch_size == len(jax.devices()):
    raise ValueError(
      f'mixup={config.mixup} mixes texts of one device, and batch_size='
      f'{config.batch_size} gives one text to each of the {len(jax.devices())} '
      'devices'
    )


def _has_column(corpus: Any, name: str) -> bool:
  """Returns whether a split is a table, or the corpus is not a mapping.

  Of a table of texts without labels, only the column of texts is read.
  """
  return not isinstance(corpus, Mapping) or any(
    not isinstance(split, tuple | list)
    for split_name, split in corpus.items()
    if split_name != UNLABELLED or name == 'text_column'
  )


def _differs(config: Config, name: str) -> bool:
  return getattr(config, name) != getattr(_DEFAULTS, name)


def _refuse(config: Config, name: str, needs: str) -> None:
  if _differs(config, name):
    raise ValueError(f'{name}={getattr(config, name)} needs {needs}')
