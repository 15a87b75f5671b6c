"""Sentences for the log on the splits, with facts that affect their scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bigru_jax.data.ragged import Ragged
from bigru_jax.data.soft_labels import LEAST_POSITIVE, is_soft
from bigru_jax.data.splits import NAMES, UNLABELLED, Table, label_pairs
from bigru_jax.data.text import UNK_ID
from bigru_jax.data.truncation import NO_LIMIT, Limits


def token_counts(tokens: Ragged, size: int) -> np.ndarray:
  """Counts how often each of `size` ids occurs in texts."""
  counts = np.zeros(size, np.int64)
  for start in range(0, len(tokens), 10_000):
    counts += np.bincount(tokens[start : start + 10_000].flat(), minlength=size)
  return counts


def describe_splits(
  splits: Mapping[str, Table], num_tokens: int, limits: Limits
) -> list[str]:
  """Returns a sentence for each split with the facts that affect its scores.

  Args:
    splits: all splits, and perhaps `unlabelled`, of texts without labels.
    num_tokens: the number of ids.
    limits: the limits at which texts were truncated.
  """
  counts_of = {
    name: token_counts(table['tokens'], num_tokens)
    for name, table in splits.items()
  }
  trained = (counts_of['train'] + counts_of.get(UNLABELLED, 0)) > 0
  trained[UNK_ID] = False
  notes = []
  for name, table in splits.items():
    size, counts = len(table), counts_of[name]
    facts = [f'{size} rows']
    if 'label' in table:
      classes = np.unique(label_pairs(table['label'])[1])
      facts.append(f'{len(classes)} classes')
    if isinstance(table.columns.get('label'), Ragged):
      facts.append(f'{table["label"].lengths.mean():.1f} labels per text')
    if 'sentences' in table:
      mean = table['sentences'].lengths.mean()
      facts.append(f'{mean:.1f} sentences per text')
    facts.append(f'{table["blank"].sum()} missing or blank texts')
    if limits.max_length < NO_LIMIT:
      facts.append(f'{table["truncated"].sum()} truncated at {limits}')
    if name == UNLABELLED:
      longest = splits['train']['tokens'].lengths.max()
      is_cut = table['tokens'].lengths > longest
      facts.append(f'{is_cut.sum()} cut to the longest text of train')
    facts.append(f'{size - len(np.unique(table["digest"]))} duplicates')
    if 'target' in table:
      facts.append(f'{is_soft(table["target"]).sum()} soft labels')
    if 'example_weight' in table:
      facts.append(f'weights that sum to {table["example_weight"].sum():g}')
    # The model must not see a test text, not even without its label.
    for other in {'train': (), UNLABELLED: NAMES}.get(name, ('train',)):
      leaked = np.isin(table['digest'], splits[other]['digest']).sum()
      facts.append(f'{leaked} that are also in {other} ({leaked / size:.1%})')
    unknown = counts[~trained].sum() / counts.sum()
    notes.append(f'{name}: {", ".join(facts)}; {unknown:.1%} unknown words')
  return notes + _soft_notes({x: splits[x] for x in NAMES if x in splits})


def _soft_notes(splits: Mapping[str, Table]) -> list[str]:
  """Returns a sentence on how soft labels are used, if there are any."""
  tables = [table for table in splits.values() if 'target' in table]
  if not tables:
    return []
  hard = f'a text has the labels whose value is at least {LEAST_POSITIVE}'
  if not isinstance(tables[0]['label'], Ragged):
    hard = 'a text has its most probable class'
  count = sum(int(is_soft(table['target']).sum()) for table in tables)
  total = sum(map(len, splits.values()))
  return [
    f'{count} of {total} texts have soft labels: the loss uses them as they '
    f'are; for metrics and stratification, {hard}'
  ]
