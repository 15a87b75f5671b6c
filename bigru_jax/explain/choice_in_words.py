"""Says in words which attribution shades the texts of a run, and why."""

from __future__ import annotations

from typing import Any

TITLES = {
  'attention': 'attention',
  'gradient_x_input': 'gradient × input',
  'integrated_gradients': 'integrated gradients',
  'leave_one_out': 'leaving each word out',
}


def in_words(method: str, table: list[dict[str, Any]], count: int) -> str:
  """Returns the choice of a method in words."""
  rows = {row['name']: row for row in table}
  name = TITLES[method]
  if not rows[method]['above_random']['low'] > 0:
    return (
      f'On {count} texts of the validation set, no way of shading explained '
      'the predictions better than random numbers, so the shades are no '
      f'reasons for an answer. The closest was {name}.'
    )
  changes = [
    _change(rows[x][test]['value'])
    for test in ('comprehensiveness', 'sufficiency')
    for x in (method, 'random')
  ]
  return (
    f'{name[0].upper()}{name[1:]} explained the predictions best, as measured '
    f'on {count} texts of the validation set: without the words that it shades '
    'most, the probability of the prediction {}, and without random words it '
    '{}; with these words alone it {}, and with random words alone it {}.'
  ).format(*changes)


def _change(drop: float) -> str:
  return f'{"drops" if drop >= 0 else "rises"} by {abs(drop):.2f}'
