"""Prepares the data of a configuration, from their source to encoded splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import dataclasses

import numpy as np

from bigru_jax.data import sources
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.config import DataConfig
from bigru_jax.data.documents import MAX_SENTENCE_SHAPES
from bigru_jax.data.entities import check_entities, marker_ids
from bigru_jax.data.epoch_plan import MAX_SHAPES, choose_buckets
from bigru_jax.data.holdout import describe_rare_labels, hold_out, take_fold
from bigru_jax.data.label_forms import ListForm, notes_on_names
from bigru_jax.data.open_files import file_sha256
from bigru_jax.data.ragged import Ragged, consecutive
from bigru_jax.data.run_vectors import RunVectors
from bigru_jax.data.split_notes import describe_splits
from bigru_jax.data.splits import (
  UNLABELLED,
  Example,
  Labels,
  Table,
  sort_labels,
)
from bigru_jax.data.tabular_files import expand_paths
from bigru_jax.data.tabulate import read_splits
from bigru_jax.data.text import SEPARATOR, TOKENIZERS
from bigru_jax.data.tokenizer import (
  JsonTokenizer,
  Tokenizer,
  VocabularyTokenizer,
  check_token,
)
from bigru_jax.data.unlabelled import UnlabelledTexts
from bigru_jax.data.vocabulary import choose_vocabulary, translate

_MAX_SHOWN = 10_000  # The maximal number of test texts on the page of a run.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
  """The data for training.

  Attributes:
    name: the name of the data; see `sources.name_of`.
    splits: `train`, `validation` and `test`, encoded.
    labels: the names of the classes, by index.
    label_weights: float32, the weight of each class in the loss, by default 1;
      with one label per text, the splits' weights include it.
    tokenizer: the tokenizer of the run.
    seen: the number of the tokenizer's ids for words of train and of texts
      without labels. The other ids are for words of validation and test that
      have a vector.
    vectors: pretrained vectors by word; empty if there are none.
    notes: sentences for the log.
    identity: SHA-256 digests of the texts, labels and weights of each split
      that is read, of the files `tokenizer` and `embeddings` and of the run
      `init_from`, if used; and for multi-hot lists, the names of their
      positions.
    unlabelled: texts without labels, to train on beside train; or None.
  """

  name: str
  splits: dict[str, EncodedSplit]
  labels: list[str]
  label_weights: np.ndarray
  tokenizer: Tokenizer
  seen: int
  vectors: dict[str, np.ndarray]
  notes: list[str]
  identity: dict[str, str]
  unlabelled: UnlabelledTexts | None = None


def prepare(
  config: DataConfig,
  corpus: sources.Corpus | None = None,
  of_run: RunVectors | None = None,
) -> Dataset:
  """Reads, checks and encodes the data of a configuration.

  Args:
    config: the configuration.
    corpus: a data set in memory to use instead of the configuration's.
    of_run: the vectors of the run of `init_from`, if there is one.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  assert bool(config.init_from) == bool(of_run)
  growing, identity = make_tokenizer(config)
  if config.vector_sets:
    identity['embeddings'] = config.vector_sets.sha256()
  if of_run:
    identity['init_from'] = of_run.sha256
  form = sources.label_form(config)
  tables, names, digests = read_splits(
    _sources(config, corpus),
    growing,
    config.limits,
    form,
    has_soft_labels=config.soft_labels,
    is_weighted=bool(config.weight_column),
  )
  identity |= digests | (form.identity() if form else {})
  labelled = {x: tables[x] for x in tables if x != UNLABELLED}
  unlabelled = {x: tables[x] for x in tables if x == UNLABELLED}
  splits, notes = _complete_splits(config, labelled, names, form)
  _check_weights(config, splits)
  tokenizer, vectors, seen, coverage = choose_vocabulary(
    config, growing, splits | unlabelled, config.vector_sets or of_run
  )
  translate(tables, growing, tokenizer)
  labels = sort_labels(names)
  splits = _sort_label_ids(splits, names, labels)
  notes += [
    *coverage,
    *describe_splits(splits | unlabelled, tokenizer.size, config.limits),
  ]
  return Dataset(
    name=sources.name_of(config, corpus),
    splits=_encoded_splits(config, splits, tokenizer, len(labels)),
    labels=labels,
    label_weights=np.ones(len(labels), np.float32),
    tokenizer=tokenizer,
    seen=seen,
    vectors=vectors,
    unlabelled=_unlabelled_texts(config, tables),
    notes=notes,
    identity=identity,
  )


def _sources(
  config: DataConfig, corpus: sources.Corpus | None
) -> Mapping[str, Iterable[Example]]:
  """Returns the splits of the data, and files of texts without labels."""
  if not config.unlabelled:
    return sources.read(config, corpus)
  expand_paths(config.unlabelled, UNLABELLED)  # It exists before one is read.
  texts = sources.read_texts(config, config.unlabelled, UNLABELLED)
  return {**sources.read(config, corpus), UNLABELLED: texts}


def make_tokenizer(config: DataConfig) -> tuple[Tokenizer, dict[str, str]]:
  """Returns the tokenizer of a new run, and its part of the data's identity.

  It has a growing vocabulary, or is that of a file, whose digest is then part
  of the identity.
  """
  tokenizer, identity = _tokenizer_named(config), dict[str, str]()
  if config.num_texts > 1:
    check_token(tokenizer, SEPARATOR, f'text_column={config.text_column}')
  if tokenizer.vocabulary is None:
    identity['tokenizer'] = file_sha256(config.tokenizer, 'tokenizer')
  return tokenizer, identity


def _tokenizer_named(config: DataConfig) -> Tokenizer:
  name = config.tokenizer
  if name in TOKENIZERS:
    return VocabularyTokenizer(name, replaces=config.replace_urls_and_users)
  if not name.endswith('.json'):
    raise ValueError(
      f'tokenizer={name!r}: choose {", ".join(TOKENIZERS)} or a tokenizer.json'
    )
  for field in ('embeddings', 'char_embeddings'):
    if value := getattr(config, field):
      raise ValueError(f'{field}={value} needs a tokenizer with words')
  return JsonTokenizer(name)


def _complete_splits(
  config: DataConfig,
  tables: dict[str, Table],
  names: list[str],
  form: ListForm | None,
) -> tuple[dict[str, Table], list[str]]:
  """Returns all three splits, and sentences on held-out splits and labels."""
  splits, notes = tables, list[str]()
  if config.folds:
    splits, notes = take_fold(
      tables, config.folds, config.fold, config.split_seed
    )
  if form:
    notes += form.notes(names, sources.label_separator(config) or '')
  notes += notes_on_names(names)
  splits, held_out_notes = hold_out(splits, config.split_seed)
  notes += held_out_notes
  if held_out_notes or config.folds:
    notes += describe_rare_labels(splits)
  return splits, notes


def _sort_label_ids(
  splits: dict[str, Table], names: list[str], labels: list[str]
) -> dict[str, Table]:
  """Changes class ids, and the order of targets, to those of `labels`."""
  class_ids = {name: i for i, name in enumerate(labels)}
  translation = np.array([class_ids[name] for name in names], np.int32)

  def translated(label: Labels) -> Labels:
    if isinstance(label, Ragged):
      return consecutive(translation[label.flat()], label.lengths)
    return translation[label]

  order = [names.index(name) for name in labels]

  def with_sorted_labels(table: Table) -> Table:
    if 'target' in table:
      table = table.with_columns(target=table['target'][:, order])
    return table.with_columns(label=translated(table['label']))

  return {name: with_sorted_labels(table) for name, table in splits.items()}


def _check_weights(config: DataConfig, splits: dict[str, Table]) -> None:
  """Raises ValueError where all weights of a split are 0."""
  for name, table in splits.items():
    if 'example_weight' in table and not table['example_weight'].any():
      raise ValueError(
        f'{table["source"][0]}: weight_column={config.weight_column}: all '
        f'weights of {name} are 0'
      )


def _encoded_splits(
  config: DataConfig,
  splits: dict[str, Table],
  tokenizer: Tokenizer,
  num_labels: int,
) -> dict[str, EncodedSplit]:
  """Returns the splits with the fields for their batches."""
  markers: tuple[int, ...] = ()
  if pooling := config.entity_pooling:
    markers = marker_ids(tokenizer, pooling)
    for table in splits.values():
      check_entities(table['tokens'], markers, table.place, pooling)
  encoded = {}
  for name, table in splits.items():
    is_shown = name == 'test'
    sizes, max_shapes, sentence_length = table['tokens'].lengths, MAX_SHAPES, 0
    if 'sentences' in table:
      sizes, max_shapes = table['sentences'].lengths, MAX_SENTENCE_SHAPES
      sentence_length = int(table['sentences'].flat().max())
    encoded[name] = EncodedSplit(
      table=_with_shown_texts(table) if is_shown else table.without('text'),
      buckets=choose_buckets(sizes, max_shapes),
      num_labels=num_labels,
      markers=markers,
      sentence_length=sentence_length,
    )
  return encoded


def _unlabelled_texts(
  config: DataConfig, tables: dict[str, Table]
) -> UnlabelledTexts | None:
  if UNLABELLED not in tables:
    return None
  tokens = tables[UNLABELLED]['tokens']
  return UnlabelledTexts(tokens=tokens, keep=config.keep)


def _with_shown_texts(table: Table) -> Table:
  """Returns the table with texts for the page of a run alone."""
  texts = table['text']
  indices = np.flatnonzero(texts != None)  # noqa: E711
  indices = indices[:: -(-len(indices) // _MAX_SHOWN) or 1]
  sampled_texts = np.full(len(texts), None, object)
  sampled_texts[indices] = texts[indices]
  return table.with_columns(text=sampled_texts)
