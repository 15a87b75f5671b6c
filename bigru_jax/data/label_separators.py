"""What seems to separate the labels inside names that hold several of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import regex

# What is seldom inside the name of one label: a few parts that recur suffice.
_USUAL = frozenset(',;|/\t、，；،')
_RUNS = regex.compile(r'[^\p{L}\p{M}\p{N}]+')
_WORDS = regex.compile(r'\s\p{L}+\s')  # As in `toxic and insult`.
_MAX_NAMES = 10_000
_LONGEST_NAME = 200
_LONGEST_RUN = 8


def likely_separator(names: Sequence[str], separator: str) -> str:
  """What seems to separate labels inside most of the names; '' for nothing.

  The parts of such names are fewer than the names, and some occur both behind a
  separator and before one or alone: those of `toxic`, `toxic,insult` and
  `insult,toxic` do, those of `Cause-Effect(e1,e2)` do not. Most parts have to
  where the separator is one that names of one label have, such as a blank, a
  hyphen, a full stop or a word. The separator of which the largest share does
  is chosen, with the blanks around it, and blanks alone where no other is.

  Args:
    names: of all labels.
    separator: by which they were separated.
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
  """All that may be a separator in a name: other characters, or a word."""
  name = name[:_LONGEST_NAME]
  candidates = set(_WORDS.findall(name, overlapped=True))
  for run in _RUNS.findall(name):
    run = run[:_LONGEST_RUN]
    ends = range(len(run) + 1)
    candidates |= {run[i:j] for j in ends for i in range(j)}
  return candidates


def _free_share(names: Sequence[str], separator: str) -> float:
  """The share of parts that occur behind a separator and before one or alone.

  It is 0 where the parts are not fewer than the names.
  """
  divided = [name.split(separator) for name in names if separator in name]
  parts = [[part.strip() for part in x if part.strip()] for x in divided]
  distinct = {part for x in parts for part in x}
  if not 0 < len(distinct) < len(names):
    return 0.0
  early = {x[0] for x in parts if x}.union(names)
  return len(early & {part for x in parts for part in x[1:]}) / len(distinct)
