"""Iterative stratification of texts with any number of labels."""

from __future__ import annotations

from collections.abc import Sequence
import hashlib
import heapq
import itertools
from typing import NamedTuple

import numpy as np

from bigru_jax.data.ragged import Ragged
from bigru_jax.data.splits import Labels, Table, label_pairs

_ONE = 2**40  # The share of a fold that has all examples of a label.


class Texts(NamedTuple):
  """The distinct texts of a split, in a random order.

  Attributes:
    first: the index of each text's first example.
    text_of: the index of each example's text.
    sizes: the number of examples of each text.
    keys: uint64, a random number for each text, in ascending order.
  """

  first: np.ndarray
  text_of: np.ndarray
  sizes: np.ndarray
  keys: np.ndarray


class Pairs(NamedTuple):
  """Distinct pairs of a text and a label, in the order of the texts.

  Attributes:
    texts, labels: the text and the label of each pair.
    amounts: the number of examples of each pair.
  """

  texts: np.ndarray
  labels: np.ndarray
  amounts: np.ndarray


def distinct_texts(train: Table, salt: str) -> Texts:
  """Returns the distinct texts, in an order that depends on salt and texts."""
  digests, first, groups, sizes = np.unique(
    train['digest'], return_index=True, return_inverse=True, return_counts=True
  )
  prefix = salt.encode()
  hashes = b''.join(
    hashlib.sha256(prefix + digest.tobytes()).digest()[:8] for digest in digests
  )
  keys = np.frombuffer(hashes, '>u8').astype(np.uint64)
  order = np.argsort(keys)
  ranks = np.argsort(order)
  return Texts(first[order], ranks[groups], sizes[order], keys[order])


def iterative_folds(
  labels: Ragged,
  texts: Texts,
  capacities: Sequence[int],
  overflow: Sequence[int],
  chosen: np.ndarray,
) -> np.ndarray:
  """Returns the fold of each text by iterative stratification.

  Sechidis, Tsoumakas and Vlahavas, 2011, algorithm 1, for folds of equal
  shares, https://doi.org/10.1007/978-3-642-23808-6_10: the label with the
  fewest remaining texts gives them, one after another, to the fold with the
  fewest examples of the label. Ties are broken by the smallest share of the
  text's labels, then by the fewest examples, and then at random. A full fold
  takes no more texts, so that the sizes are exact.

  Args:
    labels: the labels of each example.
    texts: the distinct texts.
    capacities: the number of examples of each fold.
    overflow: the folds that may take a text that fits into no fold.
    chosen: bool, whether each text takes part.

  Returns:
    The fold of each text, -1 for texts that do not take part.
  """
  pairs = _stratified_pairs(labels, texts, chosen)
  remaining = np.bincount(pairs.labels).tolist()
  num_labels = len(remaining)
  by_label = np.argsort(pairs.labels, kind='stable')
  members = np.split(pairs.texts[by_label], np.cumsum(remaining)[:-1])
  # Shares are integers, so that their sums are exact.
  ones = _ONE // np.bincount(pairs.labels, pairs.amounts).astype(int)
  shares = (pairs.amounts * ones[pairs.labels]).tolist()
  label_ids, sizes = pairs.labels.tolist(), texts.sizes.tolist()
  starts = np.searchsorted(pairs.texts, np.arange(len(chosen) + 1)).tolist()
  turns = (texts.keys % np.uint64(len(capacities))).tolist()
  folds = _Folds(capacities, overflow, num_labels)
  fold_of = [-1] * len(chosen)
  # An entry is `remaining * num_labels + label`.
  heap = [n * num_labels + label for label, n in enumerate(remaining)]
  heapq.heapify(heap)
  while heap:
    count, label = divmod(heapq.heappop(heap), num_labels)
    if count != remaining[label]:
      continue  # The label has another entry, for its remaining texts.
    changed: set[int] = set()
    for text in members[label].tolist():
      if fold_of[text] >= 0:
        continue
      text_pairs = slice(starts[text], starts[text + 1])
      text_labels = label_ids[text_pairs]
      fold_of[text] = folds.add(
        label, text_labels, shares[text_pairs], sizes[text], turns[text]
      )
      for text_label in text_labels:
        remaining[text_label] -= 1
      changed.update(text_labels)
    for label in changed:
      if remaining[label]:
        heapq.heappush(heap, remaining[label] * num_labels + label)
  return np.array(fold_of)


class _Folds:
  """The texts and labels that each fold has so far."""

  def __init__(
    self, capacities: Sequence[int], overflow: Sequence[int], num_labels: int
  ) -> None:
    self._capacities, self._overflow = capacities, overflow
    self._sizes = [0] * len(capacities)
    self._shares = [[0] * len(capacities) for _ in range(num_labels)]
    folds = list(range(len(capacities)))
    self._orders = [folds[i:] + folds[:i] for i in folds]

  def add(
    self,
    label: int,
    text_labels: list[int],
    shares: list[int],
    size: int,
    turn: int,
  ) -> int:
    """Adds a text to the best fold, which is returned.

    Args:
      label: the label with the fewest remaining texts.
      text_labels: all labels of the text.
      shares: the text's share of each of these labels.
      size: the number of the text's examples.
      turn: a number that decides between equal folds.
    """
    of_labels = [self._shares[x] for x in text_labels]
    sums = map(sum, zip(*of_labels))
    order = self._orders[turn]
    ranks = zip(self._shares[label], sums, self._sizes, order)
    fits = [n + size <= most for n, most in zip(self._sizes, self._capacities)]
    best = min(itertools.compress(ranks, fits), default=None)
    if best is None:
      fold = min(self._overflow, key=self._sizes.__getitem__)
    else:
      fold = order.index(best[-1])
    self._sizes[fold] += size
    for fold_shares, share in zip(of_labels, shares):
      fold_shares[fold] += share
    return fold


def _stratified_pairs(
  labels: Ragged, texts: Texts, chosen: np.ndarray
) -> Pairs:
  """Returns the pairs for `iterative_folds`, whatever the order of the labels.

  Texts without a label share an additional one, so that each fold has its
  share of them.
  """
  pairs = text_label_pairs(labels, texts)
  pairs = Pairs(*(x[chosen[pairs.texts]] for x in pairs))
  num_labels = int(pairs.labels.max(initial=-1)) + 1
  # A label is identified by its texts: labels with the same texts are alike.
  sums = np.zeros(num_labels, np.uint64)
  keys = texts.keys[pairs.texts] * pairs.amounts.astype(np.uint64)
  np.add.at(sums, pairs.labels, keys)
  ranks = np.argsort(np.argsort(sums))
  without = np.setdiff1d(np.flatnonzero(chosen), pairs.texts)
  owners = np.append(pairs.texts, without)
  label_ranks = np.append(
    ranks[pairs.labels], np.full(len(without), num_labels)
  )
  order = np.argsort(owners, kind='stable')
  # The remaining labels are numbered from 0.
  _, ids = np.unique(label_ranks[order], return_inverse=True)
  amounts = np.append(pairs.amounts, texts.sizes[without])
  return Pairs(texts=owners[order], labels=ids, amounts=amounts[order])


def text_label_pairs(labels: Labels, texts: Texts) -> Pairs:
  """Returns all pairs of a text and one of its labels."""
  examples, ids = label_pairs(labels)
  num_labels = int(ids.max(initial=0)) + 1
  codes, amounts = np.unique(
    texts.text_of[examples] * num_labels + ids, return_counts=True
  )
  return Pairs(codes // num_labels, codes % num_labels, amounts)
