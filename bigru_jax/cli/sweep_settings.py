"""Reads the settings that a sweep compares, from a grid or a file."""

from collections.abc import Sequence
import hashlib
import itertools
import json
import pathlib
import re
from typing import Any

from bigru_jax.data.open_files import check_file, without_repeats


def grid_settings(grid: Sequence[str]) -> list[dict[str, Any]]:
  """Returns all combinations of the values of a grid's flags.

  Args:
    grid: flags with their values, name=value,value; the values of one flag are
      joined.

  Raises:
    ValueError: an entry has another form.
  """
  axes: dict[str, list[str]] = {}
  for axis in grid:
    name, equals, values = axis.partition('=')
    if not (name and equals and values):
      raise ValueError(f'grid={axis!r}: give name=value,value')
    axes.setdefault(name, []).extend(values.split(','))
  return [
    dict(zip(axes, values)) for values in itertools.product(*axes.values())
  ]


def read_settings(path: pathlib.Path) -> list[dict[str, Any]]:
  """Reads a file with a JSON object of flags in each line.

  Raises:
    FileNotFoundError, ValueError: the file is missing or malformed.
  """
  settings: list[dict[str, Any]] = []
  check_file(path, 'settings_file')
  for row, line in enumerate(path.read_text('utf-8').splitlines(), 1):
    if line.strip():
      try:
        setting = json.loads(line, object_pairs_hook=without_repeats)
      except json.JSONDecodeError:
        setting = None
      except ValueError as error:
        raise ValueError(f'settings_file={path}, row {row} {error}') from error
      if not isinstance(setting, dict):
        raise ValueError(f'settings_file={path}, row {row}: not a JSON object')
      settings.append(setting)
  if not settings:
    raise ValueError(f'settings_file={path} has no settings')
  return settings


def parse_seeds(text: str) -> list[int]:
  """Parses seeds such as 0-4 or 0,3,7; the order is kept.

  Raises:
    ValueError: the text has another form, or a seed occurs twice.
  """
  seeds: list[int] = []
  for part in text.split(','):
    match = re.fullmatch(r'(\d+)(?:-(\d+))?', part.strip())
    if not match:
      raise ValueError(f'seeds={text!r}: give seeds such as 0-4 or 0,3,7')
    seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
  if not seeds or len(set(seeds)) < len(seeds):
    raise ValueError(f'seeds={text!r}: there is no seed, or one occurs twice')
  return seeds


def name_of(setting: dict[str, Any]) -> str:
  """Returns the setting's name, which also names a directory."""
  name = ','.join(f'{key}={value}' for key, value in setting.items())
  plain = re.sub(r'[^a-zA-Z0-9_=,.+-]', '_', name)[:150]
  if plain != name:  # Another setting may have the same plain name.
    plain += f',{hashlib.sha256(name.encode()).hexdigest()[:8]}'
  return plain or 'default'
