"""Plans the runs of a row, and finds the data that it needs."""

from collections.abc import Sequence
import contextlib
import pathlib

from absl import flags

from bigru_jax.cli import planned_runs, sweep_settings
from bigru_jax.cli.planned_runs import Planned
from bigru_jax.data.corpora import CORPORA
from bigru_jax.rundir import files as run_files

from . import film_vectors, lexicon_vectors
from .papers import VECTORS_SOURCE, Row
from .results import ROOT

# The flags of `bigru run` that reproduce.py itself sets.
OWN = planned_runs.OWN | {'data_dir', 'embeddings', 'init_from', 'unlabelled'}
_GLOVE = (
  'glove.6B.100d.txt',
  'glove.6B.100d.txt.gz',
  'glove.6B.100d.subset.txt.gz',
)
# The script that makes each file of more vectors.
_MAKERS = {
  film_vectors.NAME: 'film_vectors.py',
  lexicon_vectors.NAME: 'lexicon_vectors.py',
}


def recipe_flags(row: Row) -> list[str]:
  """Returns the flags of a row's recipe and of the files it includes."""
  with contextlib.chdir(ROOT):  # Its paths begin at the root.
    name = f'experiments/papers/recipes/{row.name}.flags'
    return flags.FLAGS.read_flags_from_files([f'--flagfile={name}'])


def find_vectors(
  data_root: pathlib.Path, vectors: str | None
) -> pathlib.Path | None:
  """Returns the file of word vectors; None where there is none.

  Args:
    data_root: the folder that holds a folder for each data set.
    vectors: the file, if one is named.

  Raises:
    FileNotFoundError: the named file is missing.
  """
  if vectors:
    path = pathlib.Path(vectors).absolute()
    if not path.is_file():
      raise FileNotFoundError(f'vectors={path}: no such file')
    return path
  paths = [data_root / 'glove' / name for name in _GLOVE]
  return next((path for path in paths if path.is_file()), None)


def missing(
  row: Row, data_root: pathlib.Path, vectors: pathlib.Path | None
) -> str:
  """Returns the files that a row lacks, and their source; '' if it has all."""
  folder = data_root / row.folder
  lacking = [name for name in row.files if not (folder / name).exists()]
  if lacking:
    return f'skipped: {folder} lacks {", ".join(lacking)}, from {row.source}'
  if not row.folder:
    try:
      config = planned_runs.config_of(recipe_flags(row))
      CORPORA[config.dataset].read(config)
    except (OSError, ValueError) as error:
      return f'skipped: {error}'
  if row.vectors and not vectors:
    path = data_root / 'glove' / _GLOVE[0]
    return f'skipped: there is no {path}, from {VECTORS_SOURCE}'
  if row.init_from and not (data_root / row.init_from / 'result.json').exists():
    return (
      f'skipped: there is no trained {data_root / row.init_from}, which the '
      f'command in recipes/{pathlib.Path(row.init_from).name}.flags makes'
    )
  for name in row.more_vectors:
    if not (data_root / 'glove' / name).is_file():
      return (
        f'skipped: there is no {data_root / "glove" / name}, which '
        f'experiments/{_MAKERS[name]} makes'
      )
  return ''


def plan(
  row: Row,
  data_root: pathlib.Path,
  vectors: pathlib.Path | None,
  seeds: str | None,
  extra: Sequence[str],
) -> list[Planned]:
  """Returns the runs of a row.

  Args:
    row: the row.
    data_root: the folder that holds a folder for each data set.
    vectors: the file of word vectors.
    seeds: such as 0-4 or 0,3,7; None for those of the row.
    extra: more flags of `bigru run`.

  Raises:
    ValueError: a flag is wrong.
  """
  run_flags = recipe_flags(row)
  for flag, name in row.paths.items():
    run_flags.append(f'--{flag}={data_root / name}')
  if row.vectors:
    more = [data_root / 'glove' / name for name in row.more_vectors]
    run_flags.append(f'--embeddings={",".join(map(str, [vectors, *more]))}')
  numbers = sweep_settings.parse_seeds(seeds) if seeds else range(row.seeds)
  return planned_runs.plan(row.name, [*run_flags, *extra], numbers, row.folds)


def check_recipes(output: pathlib.Path, planned: Sequence[Planned]) -> None:
  """Refuses runs of other settings, including those that could resume.

  Raises:
    ValueError: a run directory has another configuration than its row.
  """
  for run in planned:
    workdir = output / run.name
    if (workdir / 'config.json').exists():
      config = run_files.read_config(workdir)
      differing = planned_runs.config_of(run.flags).differing_fields(config)
      if differing:
        raise ValueError(
          f'output={workdir} holds a run of other settings: '
          f'{", ".join(differing)}; choose another output'
        )
