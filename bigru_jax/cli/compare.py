"""Says whether runs differ, from their predictions on test.

  bigru compare runs/with runs/without
  bigru compare runs/sweep/*,seed=* --metric=macro_f1 --format=latex

The first setting is compared with each of the others. Runs of the same setting
with other seeds are one setting, and so are its folds; a linear baseline of
`bigru baseline` is one too. All runs must have been tested on the same texts.

It prints a sentence to quote; the differences with 95 % intervals over texts,
over seeds, and over both; paired tests over the texts (bootstrap, McNemar) and
over the seeds (t, and Wilcoxon from six seeds on); and effect sizes.
"""

from collections.abc import Sequence

from bigru_jax.cli import outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.metrics import METRICS, current_name
from bigru_jax.reports.comparison.groups import read_groups
from bigru_jax.reports.comparison.pairs import compare_groups
from bigru_jax.reports.comparison.pairs_tables import pairwise_as
from bigru_jax.rundir import published

TAKES_ARGUMENTS = True
FLAGS = Flags()
_METRIC = FLAGS.string('metric', 'The metric that is compared.', 'accuracy')
_FORMAT = outputs.define_format(FLAGS, 'text')


def main(arguments: Sequence[str]) -> None:
  """Compares the runs whose directories are given."""
  metric = current_name(_METRIC.value)
  if metric not in METRICS:
    raise ValueError(f'metric={metric!r}: choose {", ".join(METRICS)}')
  workdirs = [published.find(x) for x in arguments]
  if len(workdirs) < 2:
    raise ValueError('name the directories of two runs or more')
  groups = read_groups(workdirs)
  if len(groups) < 2:
    raise ValueError(
      'these runs differ only in seed and fold, and there is nothing to compare'
    )
  scores, pairs = compare_groups(groups, metric)
  stored = next(iter(groups[0].by_seed.values()))
  print(pairwise_as(scores, pairs, metric, len(stored.keys), _FORMAT.value))
