"""Opens a run directory or a published model for predictions."""

from __future__ import annotations

import os

import jax

from bigru_jax import parallel
from bigru_jax.data.tokenizer import load_tokenizer
from bigru_jax.evaluation.calibration import read_calibration
from bigru_jax.inference.run import Run
from bigru_jax.inference.unseen import unseen_words
from bigru_jax.models.build import init_params, make_classifier
from bigru_jax.rundir import best_params, files as run_files, published
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import make_task


@single_precision()
def load(workdir: str | os.PathLike, embeddings: str = '') -> Run:
  """Opens a run directory with its best model, or a published model.

  Examples:
    >>> run = load('runs/rotten_tomatoes')  # doctest: +SKIP
    >>> run.predict(['A gentle, funny film.'])[0]['label']  # doctest: +SKIP
    'fresh'

  Args:
    workdir: the run directory; or a folder that `interop.safetensors` wrote, or
      `hf://owner/name`, such a folder on the Hugging Face hub; or the name of
      a run in a bucket, such as `gs://bucket/runs/mine`.
    embeddings: the vector file that the run started from, if it has moved, or
      its files, comma-separated, or the run of `init_from`. They give vectors
      to words unseen in training.

  Raises:
    FileNotFoundError, ValueError: the directory is not a run or is corrupt, or
      `embeddings` is not the run's file.
  """
  workdir = published.find(workdir)
  run_files.check_is_network(workdir)
  config = run_files.read_config(workdir)
  if config.task == 'language_model':
    raise ValueError(
      f'workdir={workdir} is a language model, which predicts no labels: other '
      'runs start from it, see init_from'
    )
  labels = run_files.read_labels(workdir)
  tokenizer = load_tokenizer(
    workdir, config.tokenizer, config.replace_urls_and_users
  )
  mesh = parallel.local_mesh()
  calibration = read_calibration(workdir, labels, config.task)
  task = make_task(config, labels, positive_label=calibration.positive_label)
  model = make_classifier(
    config, tokenizer.size, task.num_outputs, tokenizer.vocabulary
  )
  abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=parallel.replicated(mesh)
    ),
    jax.eval_shape(lambda: init_params(model, config.seed)),
  )
  if (workdir / published.PARAMS).exists():
    params = published.read_params(workdir, abstract)
  else:
    params = best_params.restore(
      workdir, abstract, 'averaged_params' if config.ema_decay else 'params'
    )
  identity = run_files.read_identity(workdir)
  unseen = unseen_words(config, identity, embeddings)
  return Run(
    workdir=workdir,
    config=config,
    labels=labels,
    tokenizer=tokenizer,
    task=task,
    model=model,
    params=params,
    mesh=mesh,
    calibration=calibration,
    unseen=unseen,
  )
