"""The whole job: data, training, selection, test, and the run's files."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import dataclasses
import logging
import os
import pathlib
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from scipy import special

from bigru_jax import parallel
from bigru_jax.data import embeddings
from bigru_jax.data.cache import prepare_shared
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.sources import Corpus
from bigru_jax.evaluation.diagnostics import diagnose
from bigru_jax.evaluation.evaluation import (
  Calibration,
  Evaluation,
  evaluate_logits,
  fit_temperature,
  fit_thresholds,
)
from bigru_jax.inference.run import Run, unseen_words
from bigru_jax.models.build import init_params, make_classifier, make_task
from bigru_jax.ops.gru import best_implementation
from bigru_jax.reports.run_page import PageOutputs, write_run_page
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.checkpoints import Checkpoints
from bigru_jax.runtime import distributed
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import Task
from bigru_jax.training import effects
from bigru_jax.training.fit import Trainer, fit

if TYPE_CHECKING:
  from bigru_jax.config import Config

_log = logging.getLogger(__name__)


@single_precision()
def train(
  config: Config,
  workdir: str | os.PathLike,
  corpus: Corpus | None = None,
  *,
  stop: Callable[[], bool] = lambda: False,
) -> Run:
  """Trains, selects by validation, tests once, and writes the run directory.

  On a directory that holds a run of the same configuration and data, it resumes
  from the last checkpoint.

  Where `jax.distributed` is initialized, each process calls it with the same
  arguments, and all train one run together; process 0 writes its files.

  Example:
    >>> from bigru_jax import Config
    >>> texts = [f'a {x} film {i}' for i in range(100) for x in ('good', 'bad')]
    >>> corpus = {'train': (texts, ['positive', 'negative'] * 100)}
    >>> config = Config(epochs=5, learning_rate=0.01, batch_size=8)
    >>> run = train(config, 'runs/mine', corpus)
    >>> run.predict(['a good film'])[0]['label']
    'positive'

  Args:
    config: the configuration.
    workdir: the run directory; it is made.
    corpus: a data set in memory in place of the configuration's: by split
      (`train`; `validation` and `test`, which are held out of train where they
      are missing) texts and their labels.
    stop: asked after every step whether to save and exit; of several processes,
      about once a second, and all stop where one is asked to.

  Returns:
    The trained run; its metrics stand in `result.json`. Of several processes,
    each predicts by itself, on its own devices.

  Raises:
    ValueError, FileNotFoundError: the configuration or the data are wrong, or a
      field of a new run would be ignored; the message names the field, the file
      and the row.
    ValueError: the directory is in use, or holds another run.
    OSError: a checkpoint cannot be written.
    Preempted: `stop` said so; what was done is saved.
    ProcessLost: another process ended.
  """
  workdir = pathlib.Path(workdir).expanduser()
  mesh = parallel.make_mesh(config.batch_size)
  main = distributed.is_main()
  with distributed.lost_processes(), contextlib.ExitStack() as stack:
    with distributed.agreed():
      if main:
        stack.enter_context(run_files.locked(workdir))
      is_new = not (workdir / 'config.json').exists()
      run_files.check_config(workdir, config)
      if is_new:
        effects.check_effects(config, corpus)
        effects.check_devices(config)
    with distributed.agreed():
      if not workdir.is_dir():
        raise ValueError(
          f'workdir={workdir} is not a directory of all processes'
        )
      data = prepare_shared(config, corpus)
      if is_new:
        effects.check_split_seed(config, data.identity)
    distributed.check_equal('data', data.identity)
    for note in data.notes:
      _log.info('%s', note)
    several = config.task == 'multi_label'
    task = make_task(
      config,
      len(data.labels),
      data.label_weights.tolist() if several else (),
      data.labels,
    )
    model = make_classifier(config, data.tokenizer.size, task.num_outputs)
    params = _initial_params(config, model, data)
    all_seen = data.seen == data.tokenizer.size
    trainer = Trainer(
      config,
      mesh,
      model,
      params,
      task,
      data.splits,
      trained_words=None if all_seen else data.seen,
    )
    stack.callback(trainer.close)
    trainer.compile_ahead()
    with distributed.agreed():
      if main:
        run_files.create_or_check(workdir, config, data)
    train_split = trainer.splits['train']
    name = 'corpus' if corpus else config.train or config.dataset
    parameters = sum(np.size(p) for p in jax.tree.leaves(params))
    _log.info(
      '%s: %s examples, %d classes, %d words, %d parameters, %d devices; '
      'compiling for batches of %s %s per text',
      name,
      '/'.join(str(len(split)) for split in data.splits.values()),
      len(data.labels),
      data.tokenizer.size,
      parameters,
      mesh.size,
      ', '.join(map(str, train_split.buckets)),
      'sentences' if train_split.sentences else 'tokens',
    )
    _log.info(
      'recurrence: implementation=%s',
      best_implementation(mesh.devices.flat[0].platform, config.dtype),
    )

    def open_log(lines):
      with distributed.agreed():
        if main:
          run_files.record_changes(workdir, config)
      return run_files.MetricsLog(workdir, lines, write=main)

    with contextlib.closing(Checkpoints(workdir)) as saved:
      best, log = fit(trainer, saved, open_log, stop)
    found, calibration, outputs = _evaluate(config, task, trainer, data)
    tested = found['test'].metrics
    if main:
      _write_answers(workdir, data, found, calibration)
    unseen = _without_unseen(trainer, task, calibration, data)
    at = {'step': best['step'], 'epoch': best['epoch']}
    log.add({**at, 'split': 'test', **tested})
    log.close()
    result = {
      'dataset': name,
      'best_epoch': best['epoch'],
      'validation': found['validation'].metrics,
      'test': tested,
      **unseen,
      'temperature': calibration.temperature,
      'test_report': found['test'].report(),
      **_costs(trainer),
      'save_seconds': round(saved.seconds, 3),
      'nonfinite_steps': sum(
        line.get('nonfinite_steps', 0) for line in log.lines
      ),
      'padding_fraction': train_split.padding_fraction(
        train_split.plan(config.batch_size, config.seed), config.batch_size
      ),
      'parameters': parameters,
    }
    if main:
      diagnostics = diagnose(data, found['test'])
      run_files.write_json(workdir / 'diagnostics.json', diagnostics)
      run_files.write_json(workdir / 'result.json', result)
      write_run_page(
        workdir,
        config,
        data,
        task,
        calibration,
        found['test'],
        outputs,
        corpus,
      )
    params = trainer.state.params
    if mesh.is_multi_process:
      params, mesh = parallel.fetch(params), parallel.local_mesh()
      distributed.wait()  # The run is complete when this returns.
  shown = ['accuracy', 'macro_f1']
  shown += ['semeval2010'] if 'semeval2010' in tested else []
  _log.info(
    'test %s (best epoch %d); see %s',
    ', '.join(f'{name} {tested[name]:.4f}' for name in shown),
    best['epoch'],
    workdir,
  )
  return Run(
    workdir,
    config,
    data.labels,
    data.tokenizer,
    model,
    params,
    mesh,
    calibration,
    unseen_words(config, data.identity),
  )


def _initial_params(config: Config, model: Any, data: Dataset) -> Any:
  """Initial parameters, with the pretrained vectors in the embedding table."""
  params = init_params(model, config.seed)
  vocabulary = data.tokenizer.vocabulary
  if not data.vectors or vocabulary is None:
    return params
  table, coverage = embeddings.embedding_table(
    params['embedding'], vocabulary, data.vectors
  )
  _log.info(
    '%.1f %% of the vocabulary have a pretrained vector', 100 * coverage
  )
  return {**params, 'embedding': table}


def _evaluate(
  config: Config, task: Task, trainer: Trainer, data: Dataset
) -> tuple[dict[str, Evaluation], Calibration, PageOutputs]:
  """The best model on validation and test, calibrated on validation, and its
  outputs for the texts of the page."""
  logits, metrics, labels = {}, {}, {}
  outputs = PageOutputs(data.splits['test'], config, task)
  for name, on_batch in (('validation', None), ('test', outputs.add)):
    metrics[name], logits[name] = trainer.evaluate(
      data.splits[name], on_batch=on_batch
    )
    labels[name] = data.splits[name].label_array()
  temperature = fit_temperature(
    task, logits['validation'], labels['validation']
  )
  thresholds: tuple[float, ...] = ()
  if config.task == 'multi_label':
    probabilities = special.expit(logits['validation'].astype(np.float64))
    thresholds = fit_thresholds(
      config.threshold, labels['validation'], probabilities
    )
  calibration = Calibration(temperature, thresholds)
  found = {
    name: evaluate_logits(
      task, data.labels, labels[name], logits[name], calibration, metrics[name]
    )
    for name in logits
  }
  return found, calibration, outputs


def _write_answers(
  workdir: pathlib.Path,
  data: Dataset,
  found: dict[str, Evaluation],
  calibration: Calibration,
) -> None:
  """Writes the predictions on validation and test, and the calibration."""
  for name, evaluation in found.items():
    split = data.splits[name]
    run_files.write_lines(
      workdir / f'predictions-{name}.jsonl',
      evaluation.answers(split.rows.tolist(), split.sources.tolist()),
    )
  run_files.write_json(
    workdir / 'calibration.json', dataclasses.asdict(calibration)
  )


def _without_unseen(
  trainer: Trainer, task: Task, calibration: Calibration, data: Dataset
) -> dict[str, Any]:
  """The test metrics with words unseen in training as <unk>, if they differ.

  In `test` these words have the pretrained vectors, as they have in a
  prediction as long as the file of vectors is there.
  """
  if not data.vectors:
    return {}
  split = data.splits['test'].without(data.seen)
  metrics, logits_NxC = trainer.evaluate(split)
  found = evaluate_logits(
    task, data.labels, split.label_array(), logits_NxC, calibration, metrics
  )
  return {'test_without_vectors_of_unseen_words': found.metrics}


def _costs(trainer: Trainer) -> dict[str, float]:
  """The times and rates of training."""
  seconds = max(trainer.train_seconds, 1e-9)
  return {
    'train_seconds': round(trainer.train_seconds, 3),
    'examples_per_second': round(trainer.examples / seconds, 1),
    'tokens_per_second': round(trainer.tokens / seconds, 1),
    'compile_seconds': round(trainer.compile_seconds, 3),
  }
