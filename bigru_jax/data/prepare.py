"""The way of the data, one trip down: source to encoded splits."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np

from bigru_jax.data import embeddings, sources, text
from bigru_jax.data.batching import EncodedSplit, choose_buckets
from bigru_jax.data.splits import Split, check, hold_out

if TYPE_CHECKING:
  from bigru_jax.config import Config


@dataclasses.dataclass(frozen=True)
class Dataset:
  """All that training needs of the data.

  Attributes:
    splits: `train`, `validation` and `test`, encoded.
    labels: the classes' names; a label's index is its place here.
    tokenizer: text to tokens and ids.
    vectors: pretrained vectors by word; empty where there are none.
    notes: sentences for the log.
    identity: SHA-256 digests of what the run is trained and tested on: each
      split's texts and labels, the `tokenizer` file and the `embeddings` file
      where there is one.
  """

  splits: dict[str, EncodedSplit]
  labels: list[str]
  tokenizer: text.Tokenizer
  vectors: dict[str, np.ndarray]
  notes: list[str]
  identity: dict[str, str]


def prepare(config: Config, corpus: sources.Corpus | None = None) -> Dataset:
  """Reads, checks and encodes the data of a configuration.

  Args:
    config: the configuration.
    corpus: a data set in memory, in place of the configuration's.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  read = sources.read(config, corpus)
  splits, notes = hold_out(read, config.split_seed)
  labels = check(splits)
  tokenizer, vectors = _tokenizer_and_vectors(config, splits)
  identity = {name: split.sha256() for name, split in splits.items()}
  if tokenizer.vocabulary is None:
    identity['tokenizer'] = _file_sha256(config.tokenizer)
  if config.embeddings:
    identity['embeddings'] = _file_sha256(config.embeddings)
  indices = {label: i for i, label in enumerate(labels)}
  label_ids = {
    name: np.array([indices[label] for label in split.labels], np.int32)
    for name, split in splits.items()
  }
  weights_C = class_weights(
    config.class_weights, label_ids['train'], len(labels)
  )
  encoded_splits = {}
  for name, split in splits.items():
    if missing := sum(not example.strip() for example in split.texts):
      notes.append(f'{missing} texts of {name} are missing or blank: <unk>')
    encoded = text.encode(split.texts, tokenizer, config.max_length)
    if encoded.truncated:
      notes.append(
        f'{encoded.truncated} texts of {name} are truncated at '
        f'max_length={config.max_length}'
      )
    encoded_splits[name] = EncodedSplit(
      encoded,
      label_ids[name],
      weights_C[label_ids[name]],
      choose_buckets(encoded.lengths),
    )
  return Dataset(encoded_splits, labels, tokenizer, vectors, notes, identity)


def class_weights(
  setting: str, labels_N: np.ndarray, num_classes: int
) -> np.ndarray:
  """The weight of each class in the loss, float32.

  Args:
    setting: the field: empty for ones, `balanced` (N / (C * N_c), as in
      scikit-learn), or a comma-separated number per class.
    labels_N: the training labels.
    num_classes: C.

  Raises:
    ValueError: the setting is none of these.
  """
  if not setting:
    return np.ones(num_classes, np.float32)
  if setting == 'balanced':
    counts = np.bincount(labels_N, minlength=num_classes)
    return (len(labels_N) / (num_classes * counts)).astype(np.float32)
  try:
    weights = np.array(setting.split(','), np.float32)
  except ValueError:
    weights = np.zeros(0, np.float32)
  valid = np.isfinite(weights).all() and (weights >= 0).all() and weights.any()
  if len(weights) != num_classes or not valid:
    raise ValueError(
      f'class_weights={setting!r}: give "balanced" or {num_classes} numbers of '
      '0 or more, not all 0'
    )
  return weights


def _tokenizer_and_vectors(
  config: Config, splits: dict[str, Split]
) -> tuple[text.Tokenizer, dict[str, np.ndarray]]:
  """The tokenizer of a new run, and the pretrained vectors of its words.

  The vocabulary is train's. With pretrained vectors, words of validation and
  test that the vectors' file knows join it, as is common in this literature;
  words of other texts that training never saw are <unk>.
  """
  name = config.tokenizer
  if name not in text.TOKENIZERS:
    if not name.endswith('.json'):
      raise ValueError(
        f'tokenizer={name!r}: choose {", ".join(text.TOKENIZERS)} or a '
        'tokenizer.json'
      )
    if config.embeddings:
      raise ValueError(
        f'embeddings={config.embeddings} needs a tokenizer with words'
      )
    return text.JsonTokenizer(name), {}
  tokenize = text.TOKENIZERS[name]
  vocabulary = text.build_vocabulary(
    map(tokenize, splits['train'].texts),
    config.max_vocabulary,
    config.min_count,
  )
  if not config.embeddings:
    return text.VocabularyTokenizer(name, vocabulary), {}
  known = set(vocabulary)
  others: dict[str, None] = {}  # In order, as a set would not be.
  for part in ('validation', 'test'):
    for example in splits[part].texts:
      others.update((t, None) for t in tokenize(example) if t not in known)
  vectors = embeddings.load_vectors(
    config.embeddings, known | others.keys(), config.embedding_size
  )
  vocabulary += [word for word in others if word in vectors]
  return text.VocabularyTokenizer(name, vocabulary), vectors


def _file_sha256(path: str | os.PathLike) -> str:
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()
