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
  return (
    ''
    if version == ours
    else (f'written by bigru_jax {version}; this is {ours}')
  )


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
