"""The version of bigru_jax that wrote a run, and what is possible with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bigru_jax


def of_config(values: Mapping[str, Any]) -> str:
  """Returns the version that wrote the content of a config.json.

  The first runs of 0.2.0 do not name it, and neither do those of 0.1, which
  have a field with another name.
  """
  if 'max_bad_steps' in values:
    return '0.1'
  return str(values.get('version', '0.2.0'))


def origin(version: str) -> str:
  """Returns a phrase that names a version; '' if it is this one."""
  ours = bigru_jax.__version__
  if version == ours:
    return ''
  return f'written by bigru_jax {version}; this is {ours}'


def note(version: str, lacks_predictions: bool) -> str:
  """Returns what a finished run can do here; '' for one of this version.

  Args:
    version: the version that wrote the run.
    lacks_predictions: whether it has no predictions files.
  """
  if not origin(version):
    return ''
  sentence = (
    f'{origin(version)}. It predicts, is exported and is evaluated; it resumes '
    'if its data are read and held out as they were'
  )
  if lacks_predictions:
    sentence += (
      '. For its splits, first run bigru evaluate --split=test --recompute'
    )
  return sentence


def way_on(version: str) -> str:
  """Returns what is possible with a run that does not resume here.

  Args:
    version: the version that wrote the run.
  """
  if not origin(version):
    return 'choose another workdir'
  return (
    f'it was written by bigru_jax {version}, which may have read or held out '
    'the same texts in another way; here it predicts, is exported and is '
    'evaluated on labelled files; resume it with that version, or choose '
    'another workdir'
  )
