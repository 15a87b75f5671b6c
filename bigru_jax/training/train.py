"""The whole job, from the data to the test and the files of the run."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import functools
import logging
import os
from typing import Any

import jax
from jax.sharding import Mesh
import numpy as np

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.cache import prepare_shared
from bigru_jax.data.class_weights import weigh_classes
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.sources import Corpus
from bigru_jax.explain.predictions import make_trained
from bigru_jax.inference.run import Run
from bigru_jax.inference.unseen import unseen_words
from bigru_jax.metrics import headline
from bigru_jax.ops.gru import best_implementation
from bigru_jax.reports.page.run_page import compile_explanations, write_run_page
from bigru_jax.rundir.directory import RunDirectory, open_run
from bigru_jax.rundir.mirror import LOCK_TIMEOUT
from bigru_jax.rundir.source import Source, read_source
from bigru_jax.runtime import distributed
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import make_task
from bigru_jax.training import effects
from bigru_jax.training.display import Display
from bigru_jax.training.final_evaluation import Report, test
from bigru_jax.training.fit import fit
from bigru_jax.training.program import Program, build_program
from bigru_jax.training.trainer import Trainer

_log = logging.getLogger(__name__)


@single_precision()
def train(
  config: Config,
  workdir: str | os.PathLike,
  corpus: Corpus | None = None,
  *,
  stop: Callable[[], bool] = lambda: False,
  verbose: bool | None = None,
  lock_timeout: float = LOCK_TIMEOUT,
) -> Run:
  """Trains, selects by validation, tests once, and writes the run directory.

  If the directory has a run of the same configuration and data, it resumes from
  the last checkpoint.

  If `jax.distributed` is initialized, each process calls it with the same
  arguments, and all train one run together; process 0 writes its files.

  Examples:
    >>> from bigru_jax import Config
    >>> texts = [f'a {x} film {i}' for i in range(100) for x in ('good', 'bad')]
    >>> corpus = {'train': (texts, ['positive', 'negative'] * 100)}
    >>> config = Config(epochs=5, learning_rate=0.01, batch_size=8)
    >>> run = train(config, 'runs/mine', corpus)
    >>> run.predict(['a good film'])[0]['label']
    'positive'

  Args:
    config: the configuration.
    workdir: the run directory, which is created; or its name in a bucket,
      such as `gs://bucket/runs/mine`.
    corpus: a data set in memory that replaces the configuration's: texts and
      labels by split. The splits are `train`, `validation` and `test`; a
      missing one is held out of `train`. `unlabelled` has texts alone, see
      `Config.unlabelled`.
    stop: called after each step; if it returns True, the run saves and exits.
      Distributed processes vote about once a second, and all stop if any does.
    verbose: whether to print what is trained, a line for each epoch and the
      scores, and to draw a bar while an epoch runs. By default, a notebook
      shows both, and a terminal only the bar. Lines that the log shows are not
      printed too, and a bar is never drawn into a file.
    lock_timeout: of a run in a bucket: the seconds without a sign of life after
      which another process takes it over; of two values, the larger counts.

  Returns:
    The trained run; its metrics are in `result.json`. In a distributed run,
    each process predicts by itself, on its own devices.

  Raises:
    ValueError, FileNotFoundError: the configuration or the data are wrong, or a
      field of a new run would be ignored; the message names the field, the file
      and the row.
    ValueError: the directory is in use, or holds another run; or the task is
      that of `pretrain`.
    OSError: a checkpoint cannot be written.
    Preempted: `stop` returned True; the progress is saved.
    ProcessLost: another process has ended.
  """
  effects.check_has_labels(config)
  mesh = parallel.make_mesh(config.batch_size)
  display = Display(verbose)
  with (
    distributed.lost_processes(),
    open_run(workdir, config, lock_timeout) as directory,
  ):
    with distributed.agreed():
      source = read_source(config)
    data = read_data(directory, config, corpus, display, source)
    program = build_program(config, data, source)
    trainer = Trainer(config, program, data.splits, mesh, data.unlabelled)
    with contextlib.closing(trainer):
      _compile_ahead(trainer, config, data, program)
      directory.start(data.name, data.labels, data.tokenizer, data.identity)
      show_start(display, trainer, data, mesh)
      progress = fit(trainer, directory, stop, display)
      report = test(trainer, program.task, data, progress)
    params, mesh = parallel.to_this_process(
      program.model_params(trainer.state.params), mesh
    )
    _write(directory, config, data, program, report, params)
  _show_end(display, report, config, workdir)
  return Run(
    workdir=directory.path,
    config=config,
    labels=data.labels,
    tokenizer=data.tokenizer,
    # As `load` makes it, without weights of classes.
    task=make_task(
      config, data.labels, positive_label=report.calibration.positive_label
    ),
    model=program.model,
    params=params,
    mesh=mesh,
    calibration=report.calibration,
    unseen=unseen_words(config, data.identity),
  )


def read_data(
  directory: RunDirectory,
  config: Config,
  corpus: Corpus | None,
  display: Display,
  source: Source | None = None,
) -> Dataset:
  """Reads the data, and checks that all processes have the same.

  It refuses fields that a new run would ignore.
  """
  with distributed.agreed():
    if directory.is_new:
      effects.check_effects(config, corpus)
      effects.check_devices(config)
    data = prepare_shared(config, corpus, source.vectors if source else None)
    data = weigh_classes(data, config.class_weights)
    if directory.is_new:
      effects.check_split_seed(config, data.identity)
      effects.check_labels(config, data.labels)
  distributed.check_equal('data', data.identity)
  for note in data.notes:
    display.line('%s', note)
  return data


def _compile_ahead(
  trainer: Trainer, config: Config, data: Dataset, program: Program
) -> None:
  """Starts compiling the steps, and after them what explains predictions."""
  trainer.compile_ahead()
  # A table that is computed from several arrays exists only after training.
  is_computed = {'embedding_join', 'ngram_embedding'} & {*program.params}
  if config.explain and distributed.is_main() and not is_computed:
    abstract = jax.eval_shape(lambda: program.model_params(program.params))
    trained = make_trained(program.model, program.task, abstract)
    trainer.compile_later(
      functools.partial(compile_explanations, config, data, trained)
    )


def show_start(
  display: Display, trainer: Trainer, data: Dataset, mesh: Mesh
) -> None:
  """Shows the sizes of the data and of the model, and what compiles."""
  train = trainer.splits['train']
  display.line(
    '%s: %s examples, %s%d words, %d parameters, %d devices; '
    'compiling for batches of %s %s per text',
    data.name,
    '/'.join(str(len(split)) for split in data.splits.values()),
    f'{len(data.labels)} classes, ' if data.labels else '',
    data.tokenizer.size,
    sum(x.size for x in jax.tree.leaves(trainer.state.params)),
    mesh.size,
    ', '.join(map(str, train.buckets)),
    'sentences' if 'sentences' in train.table else 'tokens',
  )
  _log.info(
    'recurrence: implementation=%s',
    best_implementation(mesh.devices.flat[0].platform, trainer.config.dtype),
  )


def _write(
  directory: RunDirectory,
  config: Config,
  data: Dataset,
  program: Program,
  report: Report,
  params: Any,
) -> None:
  """Writes the results of the test, and the page of the run."""
  directory.log(report.log_line())
  directory.write(report.files())
  assert report.outputs is not None
  trained = None
  if config.explain and distributed.is_main():
    thresholds = report.calibration.thresholds
    trained = make_trained(program.model, program.task, params, thresholds)
  write_run_page(
    directory.path,
    config,
    data,
    program.task,
    report.calibration,
    report.evaluation,
    report.outputs,
    trained,
  )


def _show_end(
  display: Display, report: Report, config: Config, workdir: str | os.PathLike
) -> None:
  scores = headline(report.result['test'], config.metrics, config.select_by)
  display.line(
    'test %s (best epoch %d); see %s',
    ', '.join(f'{name} {score:.4f}' for name, score in scores.items()),
    report.result['best_epoch'],
    workdir,
  )
  if report.result['best_epoch'] == config.epochs > 1:
    display.line('the last epoch is the best one: more epochs may be better')
  evaluation = report.evaluation
  if evaluation.labels.ndim == 1 and np.ptp(evaluation.predictions) == 0:
    _log.warning(
      'every test text is predicted as %r: try a smaller batch_size, a larger '
      'learning_rate or more epochs',
      evaluation.names[evaluation.predictions[0]],
    )
