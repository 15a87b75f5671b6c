"""The predictions of an early run, which has no files of them, made again."""

from __future__ import annotations

import math
import pathlib
from typing import Any

from bigru_jax.rundir import files as run_files, versions


def check(workdirs: list[pathlib.Path], split: str) -> None:
  """Raises ValueError where a split cannot or need not be made again."""
  if len(workdirs) > 1:
    raise ValueError('recompute takes one run at a time')
  run_files.check_is_network(workdirs[0])
  path = _path(workdirs[0], split)
  if run_files.exists(path):
    raise ValueError(
      f'recompute needs a run without {path.name}: {path} exists'
    )


def write(
  workdir: pathlib.Path, split: str, loss: float, answers: list[dict[str, Any]]
) -> None:
  """Writes the predictions file of a split that was made again.

  Args:
    workdir: the run directory.
    split: `validation` or `test`.
    loss: the loss on the split.
    answers: its predictions, from `Evaluation.answers`.

  Raises:
    ValueError: the loss is not that of result.json, so this is another split.
  """
  recorded = run_files.read_result(workdir)[split]['loss']
  if not math.isclose(loss, recorded, rel_tol=1e-3):
    raise ValueError(
      f'recompute: the loss on {split} is {recorded:.4f} in {workdir}/'
      f'result.json and {loss:.4f} now, so these are other texts, or other '
      f'vectors; {versions.way_on(run_files.read_version(workdir))}'
    )
  run_files.write_lines(_path(workdir, split), answers)


def _path(workdir: pathlib.Path, split: str) -> pathlib.Path:
  return workdir / f'predictions-{split}.jsonl'
