"""What labels are called: one rule for files, memory, training, evaluation.

A label is a name. A whole number is written without `.0`, a boolean as `True`
or `False`, and blanks around a name are no part of it. Where a text has any
number of labels, they are given in one of three forms:

- Names: a list of them, or a string with separators between them.
- A multi-hot list, with a 0 or 1 (or a boolean) for each label.
- A column for each label, which holds 0 or 1; see `from_columns`.

Lists of strings are always names. Lists of numbers can be names or multi-hot,
and which of the two is decided from all lists of the training split: they are
multi-hot if all have one length and hold only 0 and 1. (Names that are only 0
and 1 would be both in every list of two, and repeated in every longer one.)
Lists of one number could be either, so they are an error unless `label_names`
decides. Lists of booleans are always multi-hot. The other splits follow train.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import decimal
import json
import re
from typing import Any
import warnings

_SEPARATORS = ',;|/\t '
_BINARY = {'0': '0', '0.0': '0', 'false': '0',
           '1': '1', '1.0': '1', 'true': '1'}  # fmt: skip
_PLAIN = frozenset((str, int, float, bool, type(None), list, tuple))
_QUOTES_WITHOUT_COMMA = re.compile(r"""['"]\s+['"]""")
_NUMPY = re.compile(r'\[\s*((?:[\d.]+|True|False)\s+)+([\d.]+|True|False)\s*\]')


@dataclasses.dataclass(frozen=True)
class Flags:
  """The labels of a text as a 0 or 1 for each; or, of a list, as two names.

  Attributes:
    values: `0` and `1`, or `False` and `True`.
    names: of the columns; empty for a list, whose `ListForm` decides.
  """

  values: tuple[str, ...]
  names: tuple[str, ...] = ()

  def chosen(self, names: Sequence[str]) -> tuple[str, ...]:
    """The names at which there is a 1."""
    flags = zip(names, self.values)
    return tuple(name for name, flag in flags if flag in ('1', 'True'))


# The label of a text, the names of all of its labels, or flags.
Label = str | tuple[str, ...] | Flags


def as_label(value: Any, where: str, row: int, column: str) -> str:
  """The name of a text's one label.

  Args:
    value: a string, a number or a boolean, of Python or another library.
    where: the field and the file, for messages.
    row: its row there.
    column: its column.

  Raises:
    ValueError: it is missing, empty, a list, or neither a text nor a number.
  """
  value = plain(value)
  if isinstance(value, str) and value.lstrip()[:1] == '[':
    listed = _listed(value)
    value = value if listed is None else listed
  return _name(value, where, row, column)


def as_labels(
  value: Any, where: str, row: int, column: str, separator: str
) -> tuple[str, ...] | Flags:
  """The labels of a text that has any number of them.

  Args:
    value: a list, a set or an array; a string with separators; or a string
      that holds a list as JSON, Python or NumPy writes it. A missing or empty
      value is no label.
    where, row, column: see `as_label`.
    separator: between the names in a string.

  Raises:
    ValueError: it is anything else, one of the labels is no label or occurs
      twice, or the list holds numbers between 0 and 1.
  """
  value = plain(value)
  if is_missing(value):
    return ()
  is_list = isinstance(value, list | tuple)
  if isinstance(value, str):
    listed = _listed(value)
    is_list = listed is not None
    if listed is not None:
      value = listed
    elif re.fullmatch(r'\s*\[.*\]\s*', value, re.DOTALL):
      raise ValueError(
        f'{where}, row {row}: {column!r} is neither a JSON list nor a Python '
        f'list: {value!r:.60}'
      )
    else:
      value = [part for part in value.split(separator) if part.strip()]
  values = [plain(x) for x in value] if is_list else value
  if not isinstance(values, list):
    values = [values]
  names = tuple(_name(x, where, row, column) for x in values)
  if is_list and values:
    if all(isinstance(x, bool) for x in values):
      return Flags(names)
    if all(isinstance(x, int | float) for x in values):
      if set(names) <= {'0', '1'}:
        return Flags(names)
      if any(0 < x < 1 for x in values):
        raise ValueError(
          f'{where}, row {row}: {column!r} holds a number between 0 and 1: '
          f'{value!r:.60}; a label applies to a text or does not'
        )
  _check_distinct(names, where, row, column)
  return names


def from_columns(
  values: Sequence[Any], where: str, row: int, columns: Sequence[str]
) -> Flags:
  """The labels of a text that has a column for each, which are their names.

  Raises:
    ValueError: a value is not 0 or 1, true or false.
  """
  flags = []
  for value, column in zip(values, columns):
    flag = _BINARY.get(str(plain(value)).strip().lower())
    if flag is None:
      raise ValueError(
        f'{where}, row {row}: {column!r} is neither 0 nor 1: {value!r:.60}'
      )
    flags.append(flag)
  return Flags(tuple(flags), tuple(columns))


def label_columns(label_column: str, names: Iterable[str]) -> list[str]:
  """The columns that a field names: one, or a 0/1 column for each label.

  Args:
    label_column: a column's name; or several with commas between, unless there
      is a column of this whole name.
    names: of all columns.
  """
  if ',' not in label_column or label_column in names:
    return [label_column]
  return [part.strip() for part in label_column.split(',')]


class ListForm:
  """Decides whether lists of numbers are names or multi-hot, and reads them.

  Attributes:
    names: of the places of a multi-hot list, as far as they are known.
    is_multi_hot: None until it is decided.
  """

  def __init__(
    self, names: Sequence[str] = (), is_multi_hot: bool | None = None
  ) -> None:
    """Args: the attributes; with names the lists are multi-hot."""
    self.names = tuple(names)
    self.is_multi_hot = True if names else is_multi_hot
    self._waiting: list[Flags] = []
    self._first = ''  # The place of the first list, and of the first that is
    self._named = ''  # no multi-hot one like it.
    self._has_flags = False

  def add(
    self, label: tuple[str, ...] | Flags, where: str, row: int
  ) -> list[tuple[str, ...]]:
    """Takes the labels of the next text of a split.

    Returns:
      The names of the labels of the texts that are decided with this one: of
      those that were not yet, and of this one. None where it has to wait, too.

    Raises:
      ValueError: it has not the form of the others.
    """
    self._has_flags |= isinstance(label, Flags)
    if isinstance(label, Flags) and label.names:
      if self.names not in ((), label.names):
        raise ValueError(
          f'label_names={",".join(self.names)}: the columns of label_column '
          'name the labels'
        )
      self.names, self.is_multi_hot = label.names, True
    if self.is_multi_hot is None:
      self._first = self._first or f'{where}, row {row}'
      self._decide(label, where, row)
    if self.is_multi_hot is None:
      assert isinstance(label, Flags)
      self._waiting.append(label)
      return []
    if self.is_multi_hot and not isinstance(label, Flags):
      written = json.dumps(label, ensure_ascii=False)
      raise ValueError(
        f'{where}, row {row}: {written:.60} is no list of {len(self.names)} '
        'zeros and ones'
      )
    return [*self._released(), self.names_of(label, where, row)]

  def _decide(
    self, label: tuple[str, ...] | Flags, where: str, row: int
  ) -> None:
    """Decides where the next labels leave no choice."""
    sizes = [len(flags.values) for flags in self._waiting[:1]]
    if isinstance(label, Flags):
      sizes.append(len(label.values))
      if label.values[0] in ('False', 'True') or _repeats(label.values):
        self._settle(sizes[0])
        return
    if not isinstance(label, Flags) or sizes[0] != sizes[-1]:
      self.is_multi_hot = False
      self._named = f'{where}, row {row}'

  def close(self) -> list[tuple[str, ...]]:
    """Decides at the end of the training split; returns what `add` does.

    Raises:
      ValueError: every list has one number, 0 or 1, which can mean two things.
    """
    if self._waiting:
      size = len(self._waiting[0].values)
      if size == 1:
        raise ValueError(
          f'{self._first}: every text has a list of one number, 0 or 1; '
          'give label_names=NAME where it says whether the text has that '
          'label, and strings where the labels are called 0 and 1'
        )
      self._settle(size)
    self.is_multi_hot = bool(self.is_multi_hot)
    return self._released()

  def names_of(self, label: Label, where: str, row: int) -> tuple[str, ...]:
    """The names of a text's labels, once the form is decided.

    Raises:
      ValueError: the list has another length than the others, or repeats a
        name.
    """
    if isinstance(label, str):
      return (label,)
    if not isinstance(label, Flags):
      return label
    names = label.names or (self.names if self.is_multi_hot else ())
    if not names:
      hint = self._named and (
        '; multi-hot lists all hold only 0 and 1 and have one length, unlike '
        f'that of {self._named}'
      )
      _check_distinct(label.values, where, row, 'label', hint)
      return label.values
    if len(names) != len(label.values):
      raise ValueError(
        f'{where}, row {row}: a list of {len(label.values)} zeros and ones, '
        f'not of {len(names)} as the others (the labels '
        f'{", ".join(names[:9])})'
      )
    return label.chosen(names)

  def identity(self) -> dict[str, str]:
    """What `form_of` needs of a run's `data.json`; empty for names."""
    return {'multi_hot': ','.join(self.names)} if self.is_multi_hot else {}

  def notes(self, names: Sequence[str], separator: str) -> list[str]:
    """Sentences for the log: how lists were read, and a likely separator.

    Args:
      names: of all labels.
      separator: by which they were separated.
    """
    if self.is_multi_hot:
      more = ', …' if len(self.names) > 9 else ''
      return [
        f'labels: a 0 or 1 for each of {len(self.names)}, '
        f'{", ".join(self.names[:9])}{more}'
      ]
    notes = []
    if self._has_flags:
      notes = ['labels: numbers in lists are names, not zeros and ones']
    candidate = likely_separator(names, separator)
    if candidate:
      example = next(name for name in names if candidate in name)
      notes.append(
        f'warning: most label names hold {candidate!r}, such as {example!r}: '
        f'is label_separator={candidate!r} meant, not {separator!r}?'
      )
    return notes

  def _settle(self, size: int) -> None:
    """Decides that lists are multi-hot, of this many labels."""
    self.is_multi_hot = True
    self.names = tuple(map(str, range(size)))

  def _released(self) -> list[tuple[str, ...]]:
    names = [self.names_of(label, '', 0) for label in self._waiting]
    self._waiting.clear()
    return names


def form_of(identity: Mapping[str, str]) -> ListForm:
  """The form in which a run's lists of labels are, by its `data.json`."""
  names = identity.get('multi_hot', '')
  return ListForm(names.split(',') if names else (), is_multi_hot=False)


def likely_separator(names: Sequence[str], separator: str) -> str:
  """What seems to separate labels inside the names of most; '' for nothing.

  The parts of such names are fewer than the names, and most of them occur both
  behind a separator and before one or alone: those of `toxic`, `toxic,insult`
  and `insult,toxic` do, those of `Cause-Effect(e1,e2)` do not.

  Args:
    names: of all labels.
    separator: by which they were separated.
  """
  for candidate in _SEPARATORS:
    holding = [name.split(candidate) for name in names if candidate in name]
    if candidate == separator or 2 * len(holding) <= len(names):
      continue
    parts = [[part.strip() for part in x if part.strip()] for x in holding]
    distinct = {part for x in parts for part in x}
    early = {x[0] for x in parts if x}.union(names)
    free = early & {part for x in parts for part in x[1:]}
    # Names of several words are common, so of a space more is asked.
    if len(distinct) < len(names) and (
      2 * len(free) >= len(distinct) + (candidate == ' ')
    ):
      return candidate
  return ''


def class_names(
  metadata: Mapping[bytes, bytes] | None, column: str
) -> list[str]:
  """The names of a column's classes in the metadata of an Arrow schema.

  Hugging Face's `datasets` writes them for a `ClassLabel`, and for lists of
  them; the column then holds indices. Empty where there are none.
  """
  try:
    info = json.loads((metadata or {})[b'huggingface'])
    feature = info['info']['features'][column]
    while 'names' not in feature:
      feature = feature[0] if isinstance(feature, list) else feature['feature']
    return list(map(str, feature['names']))
  except (KeyError, TypeError, ValueError, IndexError):
    return []


def named(
  value: Any, names: Sequence[str], where: str, row: int, column: str
) -> Any:
  """The names of the classes in place of their indices; see `class_names`.

  Raises:
    ValueError: an index is missing (-1 or null) or out of range.
  """
  if isinstance(value, list):
    return [named(x, names, where, row, column) for x in value]
  if value is None or value == -1:
    raise ValueError(f'{where}, row {row}: {column!r} is no label: {value}')
  if not isinstance(value, int):
    return value
  if not 0 <= value < len(names):
    raise ValueError(
      f'{where}, row {row}: {column!r} is {value}, but there are '
      f'{len(names)} classes'
    )
  return names[value]


def plain(value: Any) -> Any:
  """A value of NumPy, pandas, Arrow and such as one of Python; sets sorted."""
  if type(value) in _PLAIN:
    return value
  for name in ('tolist', 'to_list', 'to_pylist', 'as_py'):
    if hasattr(value, name):
      return getattr(value, name)()
  if isinstance(value, set | frozenset):
    return sorted(value, key=str)
  return value


def is_missing(value: Any) -> bool:
  """Whether it is None, NaN or pandas' NA."""
  if value is None:
    return True
  try:
    return bool(value != value)
  except TypeError:  # pandas.NA is neither true nor false.
    return True


def unescaped(separator: str) -> str:
  r"""A separator as one types it in a shell: a tab for `\t`."""
  return re.sub(
    r'\\(?:[tnrfv\\]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})',
    lambda match: ast.literal_eval(f"'{match[0]}'"),
    separator,
  )


def _name(value: Any, where: str, row: int, column: str) -> str:
  """The name of one label."""
  at = f'{where}, row {row}: {column!r} is no label: '
  if isinstance(value, list | tuple):
    raise ValueError(
      f'{at}{value!r:.60} is a list; give the name or index of one class, or '
      'see task=multi_label'
    )
  if is_missing(value):
    raise ValueError(f'{at}it is missing')
  if not isinstance(value, str | int | float | decimal.Decimal):
    raise ValueError(f'{at}{value!r:.60}')
  label = str(value).strip()
  if not label:
    raise ValueError(f'{at}it is empty')
  return re.sub(r'^(-?\d+)\.0+$', r'\1', label)


def _listed(value: str) -> list[Any] | None:
  """The list that a string holds as JSON, Python or NumPy writes it, or None.

  Nothing is evaluated but literals.
  """
  text = value.strip()
  if not re.fullmatch(r'\[.*\]|\(.*\)|\{.*\}', text, re.DOTALL):
    return None
  try:
    if text[0] == '[':
      return json.loads(text)
  except (ValueError, RecursionError):
    pass
  if _NUMPY.fullmatch(text):
    text = f'[{", ".join(text[1:-1].split())}]'
  if _QUOTES_WITHOUT_COMMA.search(text):  # Python would join the two.
    return None
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Of unknown escapes.
      literal = plain(ast.literal_eval(text))
  except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
    return None
  return list(literal) if isinstance(literal, list | tuple) else None


def _check_distinct(
  names: Sequence[str], where: str, row: int, column: str, hint: str = ''
) -> None:
  """Raises ValueError where a name occurs twice."""
  if _repeats(names):
    name = Counter(names).most_common(1)[0][0]
    raise ValueError(
      f'{where}, row {row}: {column!r} has the label {name!r} twice{hint}'
    )


def _repeats(names: Sequence[str]) -> bool:
  return len(set(names)) < len(names)
