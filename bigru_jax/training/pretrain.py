"""The whole job of pretraining, from texts to a language model."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import dataclasses
import datetime
import os
import pathlib
from typing import Any

from flax import linen as nn

import bigru_jax
from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.sources import Corpus
from bigru_jax.data.tokenizer import Tokenizer
from bigru_jax.reports.page.language_model import write_language_model_page
from bigru_jax.rundir.directory import open_run
from bigru_jax.rundir.mirror import LOCK_TIMEOUT
from bigru_jax.runtime import distributed
from bigru_jax.runtime.precision import single_precision
from bigru_jax.training.display import Display
from bigru_jax.training.final_evaluation import costs
from bigru_jax.training.fit import Progress, fit
from bigru_jax.training.program import build_language_model
from bigru_jax.training.train import read_data, show_start
from bigru_jax.training.trainer import Trainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrained:
  """A language model, from which other runs can start.

  Attributes:
    workdir: the run directory.
    config: the configuration of the pretraining.
    tokenizer: converts a text to tokens and ids.
    model: the Flax module.
    params: its best parameters.
    result: the content of result.json.
  """

  workdir: pathlib.Path
  config: Config
  tokenizer: Tokenizer
  model: nn.Module
  params: Any
  result: dict[str, Any]


@single_precision()
def pretrain(
  config: Config,
  workdir: str | os.PathLike,
  corpus: Corpus | None = None,
  *,
  stop: Callable[[], bool] = lambda: False,
  verbose: bool | None = None,
  lock_timeout: float = LOCK_TIMEOUT,
) -> Pretrained:
  """Trains both directions as language models, on texts without labels.

  It selects by validation, resumes and writes the run directory as `train`
  does. A test split is optional.

  Examples:
    >>> from bigru_jax import Config, pretrain
    >>> texts = [f'a {x} film {i}' for i in range(90) for x in ('good', 'bad')]
    >>> config = Config(epochs=2, batch_size=8, sampled_words=16)
    >>> run = pretrain(config, 'runs/pretrained', {'train': texts})
    >>> run.result['validation']['perplexity'] < len(run.tokenizer.vocabulary)
    True

  Args:
    config: the configuration; its task becomes `language_model`.
    workdir: the run directory, which is created; or its name in a bucket,
      such as `gs://bucket/runs/mine`.
    corpus: texts in memory that replace the configuration's: by split a list of
      texts, or a table.
    stop, verbose, lock_timeout: see `train`.

  Raises:
    ValueError, FileNotFoundError: see `train`.
    Preempted, ProcessLost, OSError: see `train`.
  """
  config = dataclasses.replace(config, task='language_model')
  mesh = parallel.make_mesh(config.batch_size)
  display = Display(verbose)
  with (
    distributed.lost_processes(),
    open_run(workdir, config, lock_timeout) as directory,
  ):
    data = read_data(directory, config, corpus, display)
    program = build_language_model(config, data)
    trainer = Trainer(config, program, data.splits, mesh)
    with contextlib.closing(trainer):
      trainer.compile_ahead()
      directory.start(data.name, data.labels, data.tokenizer, data.identity)
      show_start(display, trainer, data, mesh)
      progress = fit(trainer, directory, stop, display)
      result = _evaluate(trainer, data, progress)
    params, _ = parallel.to_this_process(trainer.state.params, mesh)
    if result['test']:
      best = {'step': result['best_step'], 'epoch': result['best_epoch']}
      directory.log({**best, 'split': 'test', **result['test']})
    directory.write({'result.json': result})
    if distributed.is_main():
      write_language_model_page(directory.path, data)
  display.line(
    'validation perplexity %.2f (best epoch %d); see %s',
    result['validation']['perplexity'],
    result['best_epoch'],
    workdir,
  )
  return Pretrained(
    workdir=directory.path,
    config=config,
    tokenizer=data.tokenizer,
    model=program.model,
    params=params,
    result=result,
  )


def _evaluate(
  trainer: Trainer, data: Dataset, progress: Progress
) -> dict[str, Any]:
  """Returns the content of result.json; `test` may be empty."""
  assert progress.best is not None
  metrics: dict[str, Any] = {
    name: trainer.evaluate(
      data.splits[name], keep_logits=False, with_attention=name == 'test'
    )[0]
    for name in ('validation', 'test')
    if name in data.splits
  }
  return {
    'version': bigru_jax.__version__,
    'finished': datetime.datetime.now(datetime.UTC).isoformat(
      timespec='seconds'
    ),
    'dataset': data.name,
    'test': {},
    **metrics,
    'best_epoch': progress.best['epoch'],
    'best_step': progress.best['step'],
    **costs(trainer, progress),
  }
