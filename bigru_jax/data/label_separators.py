"""Guesses the separator inside names that contain several labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import regex

# Separators that are rare inside the name of one label: few recurring parts are
# enough.
_USUAL = frozenset(',;|/\t、，；،')
_RUNS = regex.compile(r'[^\p{L}\p{M}\p{N}]+')
_WORDS = regex.compile(r'\s\p{L}+\s')  # As in `toxic and insult`.
_MAX_NAMES = 10_000
_LONGEST_NAME = 200
_LONGEST_RUN = 8


def likely_separator(names: Sequence[str], separator: str) -> str:
  """Returns the likely separator of labels in most of the names, or ''.

  If names hold several labels, there are fewer different parts than names, and
  some parts occur both after a separator and before one or alone. This is true
  of `toxic`, `toxic,insult` and `insult,toxic`, but not of
  `Cause-Effect(e1,e2)`. If the name of one label may contain the separator,
  such as a blank, a hyphen, a full stop or a word, it must be true of most
  parts. The result is the separator with the largest share of such parts, with
  the blanks around it; blanks alone are chosen last.

  Args:
    names: the names of all labels.
    separator: the separator that was used to read them.
  """
  names = names[:: len(names) // _MAX_NAMES + 1]
  if all(regex.fullmatch(r'[\d.]+', name) for name in names):  # As 2.5.
    return ''
  counts = Counter(
    candidate for name in names for candidate in _candidates(name)
  )
  best, best_score = '', (False, 0.0, 0, 0)
  for candidate, count in counts.items():
    if 2 * count <= len(names) or candidate == separator:
      continue
    share = _free_share(names, candidate)
    score = not candidate.isspace(), share, count, len(candidate)
    threshold = 0 if _USUAL.intersection(candidate) else 0.5
    if share > threshold and score > best_score:
      best, best_score = candidate, score
  return best


def _candidates(name: str) -> set[str]:
  """Returns the possible separators in a name: other characters, or a word."""
  name = name[:_LONGEST_NAME]
  candidates = set(_WORDS.findall(name, overlapped=True))
  for run in _RUNS.findall(name):
    run = run[:_LONGEST_RUN]
    ends = range(len(run) + 1)
    candidates |= {run[i:j] for j in ends for i in range(j)}
  return candidates


def _free_share(names: Sequence[str], separator: str) -> float:
  """Returns the share of parts that occur after a separator and elsewhere.

  It is 0 unless there are fewer parts than names.
  """
  divided = [name.split(separator) for name in names if separator in name]
  parts = [[part.strip() for part in x if part.strip()] for x in divided]
  distinct = {part for x in parts for part in x}
  if not 0 < len(distinct) < len(names):
    return 0.0
  early = {x[0] for x in parts if x}.union(names)
  return len(early & {part for x in parts for part in x[1:]}) / len(distinct)
