"""Fonts for the characters of any text, in matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import contextlib
import logging
import os
import warnings

from matplotlib import font_manager
from matplotlib.figure import Figure

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
  """Leaves out what matplotlib says of fonts, in this context.

  A missing font weight is not worth a warning, and `font_families` has warned
  of missing characters.
  """
  manager = logging.getLogger('matplotlib.font_manager')
  level = manager.level
  manager.setLevel(logging.ERROR)
  try:
    with warnings.catch_warnings():
      warnings.filterwarnings('ignore', r'Glyph \d+ .* missing from')
      yield
  finally:
    manager.setLevel(level)


@_without_warnings()
def font_families(texts: Iterable[str]) -> list[str]:
  """Returns the default font, and others for characters that it lacks.

  A warning names the characters that no installed font has.
  """
  families = list(font_manager.FontProperties().get_family())
  missing = {c for text in texts for c in text if c.isprintable()}
  missing -= _drawable(missing, families[0])
  if not missing:
    return families
  manager = font_manager.fontManager
  # matplotlib caches its list, without fonts that were installed since.
  listed = {font.fname for font in manager.ttflist}
  for path in set(font_manager.findSystemFonts()) - listed:
    with contextlib.suppress(Exception):  # As matplotlib skips unreadable ones.
      manager.addfont(path)
  # Some private fonts of a system draw a box for any character.
  names = {font.name for font in manager.ttflist}
  drawable = {
    name: _drawable(missing, name)
    for name in sorted(names)
    if not name.startswith(('.', 'Last'))
  }
  for name in sorted(drawable, key=lambda name: -len(drawable[name])):
    if drawable[name] & missing:
      families.append(name)
      missing -= drawable[name]
  if missing:
    more = f' and {len(missing) - 20} more' if len(missing) > 20 else ''
    _log.warning(
      'no installed font has %s%s; install one that does, for example the '
      'Debian package fonts-noto-cjk for Chinese, Japanese and Korean',
      ' '.join(sorted(missing)[:20]),
      more,
    )
  return families


def _drawable(characters: set[str], family: str) -> set[str]:
  """Returns those characters that a font family has."""
  properties = font_manager.FontProperties(family=[family])
  try:
    path = font_manager.findfont(properties, fallback_to_default=False)
    font = font_manager.get_font(path)
  except (OSError, RuntimeError, ValueError):  # The font is gone.
    return set()
  return {c for c in characters if font.get_char_index(ord(c))}


def save(figure: Figure, output: str | os.PathLike) -> None:
  """Writes a figure, without warnings of its fonts."""
  with _without_warnings():
    figure.savefig(output, dpi=110)
