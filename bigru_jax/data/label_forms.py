"""Decides whether lists of numbers are names of labels or multi-hot.

Lists of strings are always names, and lists of booleans are always multi-hot.
The training split decides what lists of numbers are: they are multi-hot if all
have the same length and contain only 0 and 1, or if one has a number between 0
and 1. (If 0 and 1 were names, every list of two would have both, and longer
lists would repeat them.) Lists of one number are ambiguous, and an error unless
`label_names` decides. The other splits follow train.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json

from bigru_jax.data.label_separators import likely_separator
from bigru_jax.data.labels import Flags, Label, Numbers, repeated

# Missing values as programs write them.
_MISSING = 'nan', 'NaN', 'NaT', '<NA>'


class ListForm:
  """Decides whether lists of numbers are names or multi-hot, and reads them.

  Attributes:
    names: the labels' names in the order of multi-hot lists, if known.
    is_multi_hot: whether lists are multi-hot; None until that is decided.
  """

  def __init__(
    self,
    names: Sequence[str] = (),
    is_multi_hot: bool | None = None,
    labels: Sequence[str] = (),
  ) -> None:
    """Takes the facts that are known in advance.

    Args:
      names, is_multi_hot: the attributes; with names, the lists are multi-hot.
      labels: the labels of a trained run; if labels have columns, each of them
        needs one.
    """
    self.names, self._labels = tuple(names), labels
    self.is_multi_hot = True if names else is_multi_hot
    self._undecided: list[Flags] = []
    self._first_origin = ''  # The file and row of the first list.
    self._names_origin = ''  # Those of the list that must be names.
    self._has_flags = self._has_soft = False

  def add(
    self, label: tuple[str, ...] | Flags, where: str, row: int
  ) -> list[tuple[str, ...]]:
    """Adds the labels of the next text of a split.

    Returns:
      The names of the labels of each text that could be decided now, which are
      all undecided texts up to this one, or none.

    Raises:
      ValueError: the labels differ in form from those before.
    """
    self._has_flags |= isinstance(label, Flags)
    self._has_soft |= isinstance(label, Flags) and label.is_soft
    if isinstance(label, Flags) and label.names:
      if self.names not in ((), label.names):
        raise ValueError(
          f'label_names={",".join(self.names)}: leave it out, because the '
          'columns of label_column name the labels'
        )
      self.names, self.is_multi_hot = label.names, True
    if self.is_multi_hot is None:
      self._decide(label, f'{where}, row {row}')
    if self.is_multi_hot is None and isinstance(label, Flags):
      self._undecided.append(label)
      return []
    if self.is_multi_hot and not isinstance(label, Flags):
      written = f'the list {json.dumps(label, ensure_ascii=False)}'
      if isinstance(label, Numbers):
        written = f'the list [{", ".join(label)}]'
      if not label:
        written = "'label', which is missing or empty,"
      raise ValueError(
        f'{where}, row {row}: {written:.60} is not a list of '
        f'{len(self.names)} zeros and ones'
      )
    return [*self._decided(), self.names_of(label, where, row)]

  def _decide(self, label: tuple[str, ...] | Flags, origin: str) -> None:
    """Decides if the labels of the next text leave no choice."""
    self._first_origin = self._first_origin or origin
    first = self._undecided[0] if self._undecided else label
    if not isinstance(label, Flags) or not isinstance(first, Flags):
      self.is_multi_hot = False
    elif (
      label.values[0] in ('False', 'True')
      or label.is_soft
      or repeated(label.values)
    ):
      self._number_labels(len(first.values))
    elif len(label.values) != len(first.values):
      self.is_multi_hot = False
    if self.is_multi_hot is False:
      self._names_origin = origin

  def close(self) -> list[tuple[str, ...]]:
    """Decides at the end of the training split; returns what `add` does.

    Raises:
      ValueError: every list has one number, 0 or 1, which can mean two things.
    """
    if self._undecided:
      size = len(self._undecided[0].values)
      if size == 1:
        raise ValueError(
          f'{self._first_origin}: every text has a list of one number, 0 or 1; '
          'give label_names=NAME if the number tells whether the text has that '
          'label, or strings if the labels are named 0 and 1'
        )
      self._number_labels(size)
    self.is_multi_hot = bool(self.is_multi_hot)
    return self._decided()

  def _number_labels(self, size: int) -> None:
    """Decides that lists are multi-hot, of labels called 0, 1, …"""
    self.is_multi_hot, self.names = True, tuple(map(str, range(size)))

  def _decided(self) -> list[tuple[str, ...]]:
    """Returns the names of the labels of all undecided texts."""
    names = [self.names_of(label, '', 0) for label in self._undecided]
    self._undecided.clear()
    return names

  def names_of(self, label: Label, where: str, row: int) -> tuple[str, ...]:
    """Returns the names of a text's labels, once the form is decided.

    Raises:
      ValueError: the list has another length than the rest or repeats a name,
        or a label of the run has no column.
    """
    if isinstance(label, str):
      return (label,)
    if not isinstance(label, Flags):
      return label
    names = label.names or (self.names if self.is_multi_hot else ())
    absent = [name for name in self._labels if name not in names]
    if label.names and absent:
      raise ValueError(
        f'{where}: label_column={",".join(names)} names no column for the '
        f'labels {", ".join(map(repr, absent[:9]))} of the run'
      )
    if not names:
      hint = self._names_origin and (
        '; it is not multi-hot, because the list of '
        f'{self._names_origin} has another length or other numbers than 0 and 1'
      )
      if label.is_soft:
        raise ValueError(
          f"{where}, row {row}: 'label' holds a number between 0 and 1{hint}"
        )
      if name := repeated(label.values):
        raise ValueError(
          f"{where}, row {row}: 'label' has the label {name!r} twice{hint}"
        )
      return label.values
    if len(names) != len(label.values):
      raise ValueError(
        f'{where}, row {row}: a list of {len(label.values)} zeros and ones, '
        f'but the others have {len(names)} (the labels '
        f'{", ".join(names[:9])})'
      )
    return label.chosen(names)

  def identity(self) -> dict[str, str]:
    """Returns the entries of `data.json` for `form_of`; none for names."""
    return {'multi_hot': ','.join(self.names)} if self.is_multi_hot else {}

  def notes(self, names: Sequence[str], separator: str) -> list[str]:
    """Returns sentences for the log on the form and on a likely separator.

    Args:
      names: the names of all labels.
      separator: the separator that was used to read them.
    """
    if self.is_multi_hot:
      more = ', …' if len(self.names) > 9 else ''
      number = 'number from 0 to 1' if self._has_soft else '0 or 1'
      return [
        f'labels: a {number} for each of {len(self.names)} labels, '
        f'{", ".join(self.names[:9])}{more}'
      ]
    notes = []
    if self._has_flags:
      notes = ['labels: numbers in lists are names, not zeros and ones']
    if candidate := likely_separator(names, separator):
      example = next(name for name in names if candidate in name)
      notes.append(
        f'warning: most label names contain {candidate!r}, such as '
        f'{example!r}: did you mean label_separator={candidate!r} instead '
        f'of {separator!r}?'
      )
    return notes


def notes_on_names(names: Sequence[str]) -> list[str]:
  """Returns sentences for the log on names that are probably none.

  These are names like missing values, and numbers like soft labels.
  """
  notes = [
    f'warning: a label is called {name!r}, like a missing value; remove the '
    'texts without a label'
    for name in _MISSING
    if name in names
  ]
  if soft := next(filter(_is_share, names), ''):
    notes.append(
      f'warning: a label is called {soft!r}, and each such number is a class '
      'of its own; with task=single_label and soft_labels, it is the '
      'probability of class 1'
    )
  return notes


def _is_share(name: str) -> bool:
  """Returns whether a name is a number between 0 and 1."""
  try:
    return 0 < float(name) < 1
  except ValueError:
    return False


def form_of(
  identity: Mapping[str, str], labels: Sequence[str] = ()
) -> ListForm:
  """Returns the form of a run's lists of labels, from its `data.json`.

  Args:
    identity: the content of `data.json`.
    labels: see `ListForm`.
  """
  names = identity.get('multi_hot', '')
  return ListForm(names.split(',') if names else (), False, labels)
