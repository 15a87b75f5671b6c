"""The way of the data, one trip down: source to encoded splits."""

from __future__ import annotations

import dataclasses

import numpy as np

from bigru_jax.data import embeddings, sources, text
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.config import DataConfig
from bigru_jax.data.documents import MAX_SENTENCE_SHAPES
from bigru_jax.data.entities import check_entities, marker_ids
from bigru_jax.data.epoch_plan import choose_buckets
from bigru_jax.data.glove import fetch
from bigru_jax.data.holdout import describe_rare_labels, hold_out, take_fold
from bigru_jax.data.label_forms import missing_notes
from bigru_jax.data.lexicon import Lexicon
from bigru_jax.data.open_files import file_sha256
from bigru_jax.data.ragged import Ragged, consecutive
from bigru_jax.data.splits import Table, label_pairs, sort_labels
from bigru_jax.data.tabulate import read_splits
from bigru_jax.data.truncation import Limits

_BLOCK = 2**20  # Tokens that are translated at once.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
  """All that training needs of the data.

  Attributes:
    name: of the data set, or the files that train is read from.
    splits: `train`, `validation` and `test`, encoded.
    labels: the classes' names; a label's index is its place here.
    label_weights: float32, the weight of each class in the loss, ones if there
      are none; with one label a text, the splits' weights are made of them.
    tokenizer: text to tokens and ids.
    seen: how many of the tokenizer's ids are of training's own words; the
      others are of words of validation and test that have a vector.
    vectors: pretrained vectors by word; empty where there are none.
    notes: sentences for the log.
    identity: SHA-256 digests of what the run is trained and tested on: the
      texts and labels of each split that is read, and the files `tokenizer` and
      `embeddings` where there is one; and, where the labels are multi-hot
      lists, the names of their places.
  """

  name: str
  splits: dict[str, EncodedSplit]
  labels: list[str]
  label_weights: np.ndarray
  tokenizer: text.Tokenizer
  seen: int
  vectors: dict[str, np.ndarray]
  notes: list[str]
  identity: dict[str, str]


def prepare(
  config: DataConfig, corpus: sources.Corpus | None = None
) -> Dataset:
  """Reads, checks and encodes the data of a configuration.

  Args:
    config: the configuration.
    corpus: a data set in memory, in place of the configuration's.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  identity = {}
  json_tokenizer = _json_tokenizer(config)
  if json_tokenizer:
    identity['tokenizer'] = file_sha256(config.tokenizer, 'tokenizer')
  vectors_path = fetch(config.embeddings)
  if vectors_path:
    identity['embeddings'] = file_sha256(vectors_path, 'embeddings')
  limits = config.limits
  form = sources.label_form(config)
  tables, names, lexicon, digests = read_splits(
    sources.read(config, corpus),
    json_tokenizer or config.tokenizer,
    limits,
    form,
  )
  identity |= digests
  splits, notes = tables, list[str]()
  if config.folds:
    splits, notes = take_fold(
      tables, config.folds, config.fold, config.split_seed
    )
  if form:
    identity |= form.identity()
    notes += form.notes(names, sources.label_separator(config) or '')
  notes += missing_notes(names)
  splits, held_out_notes = hold_out(splits, config.split_seed)
  notes += held_out_notes
  if held_out_notes or config.folds:
    notes += describe_rare_labels(splits)
  tokenizer: text.Tokenizer
  if lexicon:
    vocabulary, vectors, seen = _vocabulary(
      config, splits, lexicon, vectors_path
    )
    tokenizer = text.VocabularyTokenizer(config.tokenizer, vocabulary)
    translation = _translation(lexicon, vocabulary)
    for table in tables.values():
      _translate(table['tokens'].values, translation)
  else:
    assert json_tokenizer
    tokenizer, vectors, seen = json_tokenizer, {}, json_tokenizer.size
  markers: tuple[int, ...] = ()
  if pooling := config.entity_pooling:
    markers = marker_ids(tokenizer, pooling)
    for table in splits.values():
      check_entities(table['tokens'], markers, table.place, pooling)
  labels = sort_labels(names)
  index = {name: i for i, name in enumerate(labels)}
  places = np.array([index[name] for name in names], np.int32)
  trained = _counts(splits['train'], tokenizer.size) > 0
  trained[text.UNK_ID] = False
  encoded_splits = {}
  for name, table in splits.items():
    notes.append(_describe(name, splits, trained, limits))
    label = table['label']
    if isinstance(label, Ragged):
      label = consecutive(places[label.flat()], label.lengths)
    else:
      label = places[label]
    encoded_splits[name] = EncodedSplit(
      table=table.with_columns(label=label),
      buckets=_buckets(table),
      num_labels=len(labels),
      markers=markers,
      sentence_length=int(table['sentences'].flat().max())
      if limits.hierarchical
      else 0,
    )
  return Dataset(
    name='corpus' if corpus is not None else config.train or config.dataset,
    splits=encoded_splits,
    labels=labels,
    label_weights=np.ones(len(labels), np.float32),
    tokenizer=tokenizer,
    seen=seen,
    vectors=vectors,
    notes=notes,
    identity=identity,
  )


def _buckets(table: Table) -> list[int]:
  if 'sentences' in table:
    return choose_buckets(table['sentences'].lengths, MAX_SENTENCE_SHAPES)
  return choose_buckets(table['tokens'].lengths)


def _json_tokenizer(config: DataConfig) -> text.JsonTokenizer | None:
  """The tokenizer of a file, None where `tokenizer` is the name of one."""
  name = config.tokenizer
  if name in text.TOKENIZERS:
    return None
  if not name.endswith('.json'):
    raise ValueError(
      f'tokenizer={name!r}: choose {", ".join(text.TOKENIZERS)} or a '
      'tokenizer.json'
    )
  if config.embeddings:
    raise ValueError(
      f'embeddings={config.embeddings} needs a tokenizer with words'
    )
  return text.JsonTokenizer(name)


def _vocabulary(
  config: DataConfig,
  splits: dict[str, Table],
  lexicon: Lexicon,
  vectors_path: str,
) -> tuple[list[str], dict[str, np.ndarray], int]:
  """The vocabulary, the vectors of its words, and how many training has seen.

  The vocabulary is train's. With pretrained vectors, words of validation and
  test that the vectors' file knows join it; a prediction looks the words of its
  texts up in the same file.
  """
  words = list(lexicon.ids)
  counts = {name: _counts(table, len(words)) for name, table in splits.items()}
  vocabulary = text.build_vocabulary(
    zip(words, counts['train'].tolist()),
    config.max_vocabulary,
    config.min_count,
  )
  seen = len(vocabulary)
  if not vectors_path:
    return vocabulary, {}, seen
  known = set(vocabulary)
  other_counts = counts['validation'] + counts['test']
  others = [words[i] for i in np.flatnonzero(other_counts) if i]
  wanted = known.union(others)
  vectors = embeddings.load_vectors(vectors_path, wanted, config.embedding_size)
  vocabulary += sorted(
    word for word in others if word in vectors and word not in known
  )
  return vocabulary, vectors, seen


def _counts(table: Table, size: int) -> np.ndarray:
  """How often each id occurs in the texts of a split."""
  counts = np.zeros(size, np.int64)
  for start in range(0, len(table), 10_000):
    tokens = table['tokens'][start : start + 10_000].flat()
    counts += np.bincount(tokens, minlength=size)
  return counts


def _translation(lexicon: Lexicon, vocabulary: list[str]) -> np.ndarray:
  """The vocabulary's id of each id of the lexicon."""
  ids = np.full(len(lexicon.ids), text.UNK_ID, np.int32)
  for i, word in enumerate(vocabulary[2:], 2):
    ids[lexicon.ids[word]] = i
  return ids


def _translate(tokens: np.ndarray, translation: np.ndarray) -> None:
  """Replaces each id, a block at a time so that no second array is needed."""
  for start in range(0, len(tokens), _BLOCK):
    block = tokens[start : start + _BLOCK]
    block[:] = translation[block]


def _describe(
  name: str, splits: dict[str, Table], trained: np.ndarray, limits: Limits
) -> str:
  """A sentence on a split: what one should know before believing a score.

  Args:
    name: the split's.
    splits: all of them.
    trained: bool, whether each id is of a word that occurs in training.
    limits: at which texts are truncated.
  """
  table, train = splits[name], splits['train']
  rows = len(table)
  counts = _counts(table, len(trained))
  unknown = counts[~trained].sum() / counts.sum()
  facts = [
    f'{rows} rows',
    f'{len(np.unique(label_pairs(table["label"])[1]))} classes',
    *(
      [f'{table["label"].lengths.mean():.1f} labels per text']
      if isinstance(table['label'], Ragged)
      else []
    ),
    *(
      [f'{table["sentences"].lengths.mean():.1f} sentences per text']
      if 'sentences' in table
      else []
    ),
    f'{table["blank"].sum()} missing or blank texts',
    f'{table["truncated"].sum()} truncated at {limits}',
    f'{rows - len(np.unique(table["digest"]))} duplicates',
  ]
  if name != 'train':
    leaked = np.isin(table['digest'], train['digest']).sum()
    facts.append(f'{leaked} that are also in train ({leaked / rows:.1%})')
  return f'{name}: {", ".join(facts)}; {unknown:.1%} unknown words'
