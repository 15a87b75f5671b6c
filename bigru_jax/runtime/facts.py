"""Facts about an object, as `print` and as a notebook show them."""

from __future__ import annotations

from collections.abc import Mapping
import html


def as_text(title: str, facts: Mapping[str, str]) -> str:
  """Returns a title and a line for each fact, by its name.

  Examples:
    >>> print(as_text('Run', {'data': 'trec', 'labels': 'LOC, NUM'}))
    Run
      data    trec
      labels  LOC, NUM
  """
  width = max(map(len, facts), default=0)
  lines = [f'  {name:{width}}  {fact}' for name, fact in facts.items()]
  return '\n'.join([title, *lines])


def as_html(title: str, facts: Mapping[str, str]) -> str:
  """Returns a table with a title and a row for each fact, by its name."""
  rows = ''.join(
    f'<tr><th scope="row" style="text-align: left">{html.escape(name)}</th>'
    f'<td style="text-align: left">{html.escape(fact)}</td></tr>'
    for name, fact in facts.items()
  )
  return f'<p><b>{html.escape(title)}</b></p><table>{rows}</table>'
