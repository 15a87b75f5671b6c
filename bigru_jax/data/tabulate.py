"""Turns examples into arrays in one pass; texts are encoded while read."""

from __future__ import annotations

import array
from collections.abc import Collection, Iterable, Iterator, Mapping
import contextlib
from typing import Any

import numpy as np

from bigru_jax.data.encode import Ids
from bigru_jax.data.label_forms import ListForm
from bigru_jax.data.ragged import consecutive
from bigru_jax.data.soft_labels import SoftLabel, Targets
from bigru_jax.data.split_digest import SplitDigest
from bigru_jax.data.splits import (
  NAMES,
  UNLABELLED,
  Example,
  Labels,
  Table,
  one_hot,
)
from bigru_jax.data.text import is_blank
from bigru_jax.data.tokenizer import Tokenizer
from bigru_jax.data.tokenizer_pool import TokenizerPool
from bigru_jax.data.truncation import Limits
from bigru_jax.runtime.cores import cores

_CHUNK = 2**20  # Characters that are encoded at once.
# Bytes of texts that are kept; a tenth of this fills the page of a run.
_KEPT = 3 * 2**24
_BYTES_PER_TEXT = 200  # In addition to its characters.


def read_splits(
  splits: Mapping[str, Iterable[Example]],
  tokenizer: Tokenizer,
  limits: Limits,
  form: ListForm | None = None,
  has_soft_labels: bool = False,
  is_weighted: bool = False,
  without_labels: Collection[str] = (UNLABELLED,),
) -> tuple[dict[str, Table], list[str], dict[str, str]]:
  """Reads every split once.

  The column `text` has texts that the page of a run may show, from test or from
  the split that test is held out of: all of them, or a sample if there are
  many. The other texts are None.

  Args:
    splits: the splits by name; `train` is read first, and `unlabelled` last.
    tokenizer: the tokenizer; its vocabulary may grow.
    limits: the limits at which texts are truncated.
    form: the form of lists of labels if a text has any number of labels, else
      None; train decides the form if it is open.
    has_soft_labels: whether labels may be soft; one must be numbers then.
    is_weighted: whether to make a column `example_weight`.
    without_labels: the splits that are read without labels, whose tables have
      no column `label`.

  Returns:
    The splits as columns, the labels' names in the order of occurrence, and a
    SHA-256 digest of each split's texts, labels and weights in their order.

  Raises:
    ValueError: a split is empty, training has a single class, another split
      has a label that training lacks, or all labels are names though they may
      be soft; the message names the file and the row.
  """
  labels: dict[str, int] = {}
  tables, digests, has_numbers = {}, {}, False
  with contextlib.closing(TokenizerPool(tokenizer, limits, cores())) as pool:
    for name in (*NAMES, UNLABELLED):
      if name not in splits:
        continue
      has_labels = name not in without_labels
      is_shown = name == 'test' or (name == 'train' and 'test' not in splits)
      reader = _Reader(
        labels,
        form,
        grow=name == 'train',
        keep_texts=is_shown,
        is_weighted=is_weighted,
        has_labels=has_labels,
      )
      chunks = reader.chunks(name, splits[name])
      tables[name], digests[name] = reader.table(pool.encode(chunks))
      if has_labels and len(labels) < (1 if form else 2):
        classes = (
          f'a single class, {next(iter(labels))!r}' if labels else 'no label'
        )
        raise ValueError(f'{reader.source}: training has {classes}')
      has_numbers |= reader.has_numbers
  if has_soft_labels and not has_numbers:
    raise ValueError(
      f'{reader.source}: soft_labels needs a number for each class, in columns '
      'such as label_column=a,b or in objects, but all labels are names'
    )
  return tables, list(labels), digests


class _Reader:
  """Collects the arrays of one split while its texts are read."""

  def __init__(
    self,
    labels: dict[str, int],
    form: ListForm | None,
    grow: bool,
    keep_texts: bool,
    is_weighted: bool,
    has_labels: bool,
  ) -> None:
    self._label_ids, self._has_labels = labels, has_labels
    self._form, self._grow = form, grow
    self._labels = list[int]()
    self._label_counts = list[int]()
    self._targets = Targets()
    self._weights = array.array('f') if is_weighted else None
    self._rows = array.array('q')
    self._sources: list[str] = []
    self._ids: list[str] = []
    self._digests = bytearray()
    self._blank: list[bool] = []
    self._digest = SplitDigest()
    self._texts = TextSample() if keep_texts else None
    self.source = ''

  @property
  def has_numbers(self) -> bool:
    """Whether a label is given by numbers, not by its name."""
    is_multi_hot = bool(self._form and self._form.is_multi_hot)
    return is_multi_hot or bool(self._targets.names)

  def chunks(
    self, name: str, examples: Iterable[Example]
  ) -> Iterator[list[str]]:
    """Yields the texts in chunks of about a million characters."""
    texts: list[str] = []
    characters = 0
    for example in examples:
      self._add(example)
      texts.append(example.text)
      characters += len(example.text)
      if characters > _CHUNK:
        yield texts
        texts, characters = [], 0
    if texts:
      yield texts
    if not self._rows:
      raise ValueError(f'{name} has no examples')

  def table(self, chunks: Iterable[Ids]) -> tuple[Table, str]:
    """Returns the columns of all chunks, and the digest."""
    tokens, arrays = array.array('i'), []
    for ids in chunks:
      tokens.frombytes(ids.tokens.tobytes())  # The array grows in place.
      arrays.append(ids[1:])
    lengths, truncated, sentence_lengths, sentences = map(
      np.concatenate, zip(*arrays)
    )
    columns: dict[str, Any] = {
      'tokens': consecutive(np.frombuffer(tokens, np.int32), lengths),
      'weight': np.ones(len(lengths), np.float32),
      'row': np.frombuffer(self._rows, np.int64),
      'source': np.array(self._sources, object),
      'digest': np.frombuffer(self._digests, np.uint64),
      'truncated': truncated,
      'blank': np.array(self._blank, bool),
    }
    if len(sentences):
      columns['sentences'] = consecutive(sentence_lengths, sentences)
    if any(self._ids):
      columns['id'] = np.array(self._ids, object)
    if self._has_labels:
      columns['label'] = self._label_array()
    if self._targets.has_soft:
      columns['target'] = self._targets.filled_in(
        one_hot(columns['label'], len(self._label_ids)), self._label_ids
      )
    if self._weights is not None:
      weight = np.frombuffer(self._weights, np.float32)
      columns |= {'example_weight': weight, 'weight': weight}
    if self._texts:
      columns['text'] = self._texts.array(len(lengths))
    return Table(columns), self._digest.hexdigest()

  def _label_array(self) -> Labels:
    if self._form:
      for names in self._form.close():
        self._add_names(names, self.source, 0)
      if self._grow and self._form.is_multi_hot and self._labels:
        for name in self._form.names:  # Train may lack some of them.
          self._label_ids.setdefault(name, len(self._label_ids))
    for name in self._targets.names if self._grow else ():
      self._label_ids.setdefault(name, len(self._label_ids))
    labels = np.array(self._labels, np.int32)
    if not self._form:
      return labels
    counts = np.array(self._label_counts, np.int32)
    return consecutive(labels, counts)

  def _add(self, example: Example) -> None:
    if self._has_labels:
      self._add_label(example)
    digest = self._digest.add(example)
    self._rows.append(example.row)
    self._sources.append(example.source)
    self._ids.append(example.id)
    self._digests += digest[:8]
    self._blank.append(is_blank(example.text))
    if self._weights is not None:
      self._weights.append(example.weight)
    if self._texts:
      self._texts.add(example.text, digest)
    self.source = example.source

  def _add_label(self, example: Example) -> None:
    label = example.label
    if not self._form and isinstance(label, str):
      self._labels.append(self._label_id(label, example.source, example.row))
    elif not self._form and isinstance(label, SoftLabel):
      self._add_names(label, example.source, example.row)
    elif not self._form:
      raise ValueError(
        f'{example.source}, row {example.row}: several labels need '
        'task=multi_label'
      )
    else:
      sets = (label,) if isinstance(label, str) else label
      for names in self._form.add(sets, example.source, example.row):
        self._add_names(names, example.source, example.row)

  def _add_names(self, names: tuple[str, ...], source: str, row: int) -> None:
    self._labels += [self._label_id(name, source, row) for name in names]
    if isinstance(names, SoftLabel):
      for name in () if self._grow else names.values:
        self._label_id(name, source, row)
      row_in_split = len(self._label_counts) if self._form else len(self._rows)
      self._targets.add(row_in_split, names)
    if self._form:
      self._label_counts.append(len(names))

  def _label_id(self, name: str, source: str, row: int) -> int:
    label_id = self._label_ids.get(name)
    if label_id is None:
      if not self._grow:
        raise ValueError(f'{source}, row {row}: training has no label {name!r}')
      label_id = self._label_ids[name] = len(self._label_ids)
    return label_id


class TextSample:
  """The texts of a split, or a sample of them that takes little memory.

  The sample is a function of the texts, and has all or none of equal texts.
  """

  def __init__(self) -> None:
    self._count = self._bytes = 0
    self._every = 1
    self._texts: dict[int, tuple[int, str]] = {}

  def add(self, text: str, digest: bytes) -> None:
    """Adds the next text, with the digest that draws the sample."""
    key = int.from_bytes(digest[8:16], 'little')
    if key % self._every == 0:
      self._texts[self._count] = key, text
      self._bytes += len(text) + _BYTES_PER_TEXT
    self._count += 1
    while self._bytes > _KEPT:
      self._every *= 2
      self._texts = {
        i: (key, text)
        for i, (key, text) in self._texts.items()
        if key % self._every == 0
      }
      self._bytes = sum(
        len(text) + _BYTES_PER_TEXT for _, text in self._texts.values()
      )

  def array(self, count: int) -> np.ndarray:
    """Returns the texts of `count` examples, None outside of the sample."""
    texts = np.full(count, None, object)
    for i, (_, text) in self._texts.items():
      texts[i] = text
    return texts
