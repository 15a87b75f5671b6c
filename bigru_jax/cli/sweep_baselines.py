"""The linear baselines in the folder of a sweep."""

from collections.abc import Iterator, Sequence
import logging
import pathlib

from bigru_jax.cli import planned_runs
from bigru_jax.cli.planned_runs import Planned
from bigru_jax.reports.comparison import settings as comparison
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.examples import check_same_split

_log = logging.getLogger('bigru_jax.sweep')

# The fields that a linear baseline's name in a comparison has.
_OF_BASELINE = (
  'select_by', 'class_weights', 'threshold', 'threshold_metric',
  'positive_label', 'tokenizer', 'replace_urls_and_users',
)  # fmt: skip


def cells(
  output: pathlib.Path, planned: Sequence[Planned]
) -> Iterator[comparison.Cell]:
  """Yields the results of the linear baselines in the planned runs' folder.

  Raises:
    ValueError: one was evaluated on other examples than the finished runs.
  """
  finished = {
    run.fold: output / run.name
    for run in planned
    if planned_runs.is_finished(output, run)
  }
  keys = {(run.seed, run.fold) for run in planned}
  for path in sorted(output.glob('*/baseline.json')):
    workdir = path.parent
    config = run_files.read_config(workdir)
    seed, fold = config.seed, config.fold
    if not run_files.exists(workdir / 'result.json'):
      _log.warning('%s is not finished', workdir)
    elif (seed, fold) not in keys:
      _log.warning('%s: no run has seed=%d and fold=%d', workdir, seed, fold)
    elif fold in finished:
      check_same_split(finished[fold], workdir, 'baseline')
      ngrams = run_files.read_json(path, 'baseline').get('ngrams')
      differing = [
        f'{name}={getattr(config, name)}'
        for name in config.differing_fields()
        if name in _OF_BASELINE
      ]
      setting = ','.join(['baseline', f'ngrams={ngrams}', *differing])
      yield planned_runs.read_cell(workdir, setting, seed, fold)
