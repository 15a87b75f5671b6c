"""Splits of (text, label): holding out what is missing, and checking them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
import hashlib
import math

NAMES = ('train', 'validation', 'test')


@dataclasses.dataclass
class Split:
  """The examples of one split.

  Attributes:
    texts: strings.
    labels: the labels' names, as strings.
    rows: the place of each example in its source, from 1.
    name: the source, for messages.
  """

  texts: list[str]
  labels: list[str]
  rows: list[int]
  name: str

  def __len__(self) -> int:
    return len(self.texts)

  def add(self, text: str, label: str, row: int) -> None:
    """Appends one example."""
    self.texts.append(text)
    self.labels.append(label)
    self.rows.append(row)

  def take(self, indices: Sequence[int]) -> Split:
    """Some of the examples."""
    return Split(
      [self.texts[i] for i in indices],
      [self.labels[i] for i in indices],
      [self.rows[i] for i in indices],
      self.name,
    )

  def sha256(self) -> str:
    """A digest of the texts and labels in their order."""
    digest = hashlib.sha256()
    for pair in zip(self.texts, self.labels):
      for value in pair:
        data = value.encode('utf-8', 'surrogatepass')
        digest.update(len(data).to_bytes(8, 'big'))
        digest.update(data)
    return digest.hexdigest()


def empty_split(name: object) -> Split:
  """A split without examples, to be added to."""
  return Split([], [], [], str(name))


def hold_out(
  splits: dict[str, Split], split_seed: int
) -> tuple[dict[str, Split], list[str]]:
  """Holds a tenth of train out for a missing test, then validation, split.

  The draw is by a hash of the text, so equal texts go the same way. A class
  that would lose its last training example is kept in train.

  Returns:
    The splits in the order of `NAMES`, and a sentence for each that was held
    out.
  """
  splits, notes = dict(splits), []
  for name in ('test', 'validation'):
    if name in splits:
      continue
    train = splits['train']
    drawn = [_draw(text, f'{split_seed}/{name}/') for text in train.texts]
    kept = {label for label, out in zip(train.labels, drawn) if not out}
    drawn = [out and label in kept for label, out in zip(train.labels, drawn)]
    splits[name] = train.take([i for i, out in enumerate(drawn) if out])
    splits['train'] = train.take([i for i, out in enumerate(drawn) if not out])
    notes.append(
      f'there is no {name} split: {len(splits[name])} of {len(train)} training '
      'examples are held out for it'
    )
  return {name: splits[name] for name in NAMES}, notes


def _draw(text: str, salt: str) -> bool:
  """True for one text in ten."""
  data = (salt + text).encode('utf-8', 'surrogatepass')
  digest = hashlib.sha256(data).digest()
  return int.from_bytes(digest[:8], 'big') % 10 == 0


def check(splits: dict[str, Split]) -> list[str]:
  """Checks that the splits can be trained and tested on.

  Returns:
    The classes' names in their order.

  Raises:
    ValueError: a split is empty, training has a single class, or validation or
      test has a label that training has not; the row is named.
  """
  train = splits['train']
  for name, split in splits.items():
    if not len(split):
      raise ValueError(f'{split.name}: no example is left for {name}')
  known = set(train.labels)
  if len(known) < 2:
    raise ValueError(
      f'{train.name}: training has a single class, {train.labels[0]!r}'
    )
  for name in ('validation', 'test'):
    split = splits[name]
    for label, row in zip(split.labels, split.rows):
      if label not in known:
        raise ValueError(
          f'{split.name}, row {row}: training has no label {label!r}'
        )
  return sort_labels(known)


def sort_labels(labels: Iterable[str]) -> list[str]:
  """Numbers by value where all labels are finite ones, else alphabetically."""
  labels = sorted(labels)
  try:
    values = {label: float(label) for label in labels}
  except ValueError:
    return labels
  if not all(map(math.isfinite, values.values())):
    return labels
  return sorted(labels, key=lambda label: values[label])
