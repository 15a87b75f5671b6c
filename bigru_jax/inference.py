"""A trained run: predictions, attention and metrics on new texts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
import contextlib
import os
import pathlib
from typing import TYPE_CHECKING, Any

from flax import linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec as P
import numpy as np

from bigru_jax import checkpoints, runs
from bigru_jax.data import batching, text
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.models.classifier import Classifier
from bigru_jax.runtime import mesh as meshes
from bigru_jax.tasks import SingleLabel, make_loss_fn

if TYPE_CHECKING:
  from bigru_jax.config import Config

BATCH_SIZE = 64


class Run:
  """A trained model with all that predicting needs.

  Attributes:
    workdir: the run directory.
    config: the configuration it was trained with.
    labels: the classes' names, by index.
    tokenizer: text to tokens and ids.
    model: the Flax module.
    params: its best parameters, replicated over the devices.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    config: Config,
    labels: list[str],
    tokenizer: text.Tokenizer,
    model: nn.Module,
    params: Any,
    mesh: Mesh,
  ) -> None:
    self.workdir, self.config, self.labels = workdir, config, labels
    self.tokenizer, self.model = tokenizer, model
    self.params = jax.device_put(params, meshes.replicated(mesh))
    self._mesh = mesh
    self._task = make_task(config, len(labels))
    self._predict_step = make_predict_step(model, self._task, mesh)
    self._eval_step = make_eval_step(model, self._task, mesh)

  def predict(
    self, texts: Sequence[str], batch_size: int = BATCH_SIZE
  ) -> list[dict[str, Any]]:
    """Predicts every text, in order; texts of like lengths share a batch.

    Args:
      texts: strings; an empty one is the unknown token.
      batch_size: texts per batch, rounded up to a multiple of the devices.

    Returns:
      A dict per text, which `json.dumps` takes: `label`; `probabilities` by
      label; `tokens`, those of the text up to `max_length`; `attention`, by
      name (`words`) a list per head of one weight per token, and empty where
      the pooling has no weights.

    Raises:
      ValueError: `texts` is a single string.
    """
    if isinstance(texts, str):
      raise ValueError(f'texts={texts!r:.60} is one string; give a list')
    if not texts:
      return []
    tokens, encoded = self._encode(texts)
    # Rounded, so that later calls and processes find their programs compiled.
    buckets = batching.choose_buckets(batching.round_up(encoded.lengths))
    no_labels = np.zeros(len(texts), np.int32)
    split = self._split(encoded, no_labels, buckets)
    plan = split.plan(self._rounded(batch_size))
    with contextlib.closing(self._batches(split, plan, batch_size)) as batches:
      # All are dispatched before the host waits for the first.
      outputs = [self._predict_step(self.params, batch) for batch in batches]
    answers: list[dict[str, Any]] = [{}] * len(texts)
    for (_, rows), batch_outputs in zip(plan, jax.device_get(outputs)):
      probabilities_BxC, attention = batch_outputs
      for i, row in enumerate(rows):
        answers[row] = {
          'label': self.labels[int(probabilities_BxC[i].argmax())],
          'probabilities': dict(
            zip(self.labels, probabilities_BxC[i].tolist())
          ),
          'tokens': tokens[row],
          'attention': {
            name: weights_BxKxT[i, :, : len(tokens[row])].tolist()
            for name, weights_BxKxT in attention.items()
          },
        }
    return answers

  def evaluate(
    self,
    texts: Sequence[str],
    labels: Sequence[str],
    batch_size: int = BATCH_SIZE,
  ) -> dict[str, Any]:
    """Loss, accuracy and macro F1 on labelled texts, all of equal weight.

    Raises:
      ValueError: there are not as many labels as texts, none at all, or a
        label that the run was not trained with.
    """
    if len(texts) != len(labels) or not len(texts):
      raise ValueError(f'{len(texts)} texts and {len(labels)} labels')
    indices = {label: i for i, label in enumerate(self.labels)}
    unknown = sorted({str(label) for label in labels} - indices.keys())
    if unknown:
      raise ValueError(
        f'labels={", ".join(map(repr, unknown[:9]))}: the run knows '
        f'{", ".join(map(repr, self.labels))}'
      )
    label_ids = np.array([indices[str(label)] for label in labels], np.int32)
    _, encoded = self._encode(texts)
    buckets = batching.choose_buckets(batching.round_up(encoded.lengths))
    split = self._split(encoded, label_ids, buckets)
    return evaluate(
      self._eval_step,
      self.params,
      self._task,
      split,
      self._rounded(batch_size),
      self._mesh,
    )

  def _rounded(self, batch_size: int) -> int:
    return -(-batch_size // self._mesh.size) * self._mesh.size

  def _encode(
    self, texts: Sequence[str]
  ) -> tuple[list[list[str]], text.Encoded]:
    """Each text's tokens up to `max_length`, and all as ids."""
    limit = self.config.max_length
    # Lone surrogates are no characters; they become the replacement one.
    texts = [t.encode('utf-8', 'replace').decode('utf-8') for t in texts]
    tokens, ids = zip(*map(self.tokenizer.encode, texts))
    return [t[:limit] for t in tokens], text.pack(ids, limit)

  @staticmethod
  def _split(
    encoded: text.Encoded, label_ids: np.ndarray, buckets: list[int]
  ) -> EncodedSplit:
    weights = np.ones(len(label_ids), np.float32)
    return EncodedSplit(encoded, label_ids, weights, buckets)

  def _batches(
    self, split: EncodedSplit, plan: batching.Plan, batch_size: int
  ) -> Generator[meshes.Batch]:
    size = self._rounded(batch_size)
    return meshes.prefetch_to_mesh(
      (split.batch(rows, length, size) for length, rows in plan), self._mesh
    )


def load(workdir: str | os.PathLike) -> Run:
  """Opens a run directory with its best model.

  Example:
    >>> run = load('runs/rotten_tomatoes')  # doctest: +SKIP
    >>> run.predict(['A gentle, funny film.'])[0]['label']  # doctest: +SKIP
    'fresh'

  Raises:
    FileNotFoundError, ValueError: the directory is no run, or a corrupt one.
  """
  workdir = pathlib.Path(workdir)
  config = runs.read_config(workdir)
  labels = runs.read_labels(workdir)
  tokenizer = text.load_tokenizer(workdir, config.tokenizer)
  mesh = meshes.make_mesh(jax.device_count())
  task = make_task(config, len(labels))
  model = make_classifier(config, tokenizer.size, task.num_outputs)
  abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=meshes.replicated(mesh)
    ),
    jax.eval_shape(lambda: init_params(model, config.seed)),
  )
  params = checkpoints.restore_best_params(workdir, abstract)
  return Run(workdir, config, labels, tokenizer, model, params, mesh)


def make_task(config: Config, num_classes: int) -> SingleLabel:
  """The task that a configuration describes."""
  return SingleLabel(num_classes, config.loss, config.label_smoothing)


def make_classifier(
  config: Config, vocabulary_size: int, num_outputs: int
) -> Classifier:
  """The classifier that a configuration describes."""
  return Classifier(
    vocabulary_size=vocabulary_size,
    num_outputs=num_outputs,
    embedding_size=config.embedding_size,
    hidden_size=config.hidden_size,
    num_layers=config.num_layers,
    attention=config.attention,
    dropout=config.dropout,
    embedding_dropout=config.embedding_dropout,
    recurrent_dropout=config.recurrent_dropout,
    dtype=jnp.dtype(config.dtype),
  )


def init_params(model: nn.Module, seed: int) -> Any:
  """Initial parameters, a function of the seed alone."""
  one_text = {'tokens': jnp.ones((1, 2), int), 'lengths': jnp.ones(1, int)}
  init = jax.jit(lambda key: model.init(key, one_text)['params'])
  return init(jax.random.key(seed))


def make_predict_step(
  model: nn.Module, task: SingleLabel, mesh: Mesh
) -> Callable[[Any, meshes.Batch], Any]:
  """The jitted (params, batch) -> (probabilities_BxC, attention).

  The parameters are replicated, the batch is sharded.
  """

  def predict(params, batch):
    outputs: Any = model.apply({'params': params}, batch)
    return task.probabilities(outputs.logits), outputs.attention

  return jax.jit(
    meshes.map_batch(predict, mesh, P()),
    compiler_options=meshes.compiler_options(mesh),
  )


def make_eval_step(
  model: nn.Module, task: SingleLabel, mesh: Mesh
) -> Callable[..., Any]:
  """The jitted (params, metrics, batch) -> metrics with the batch added."""
  loss_fn = make_loss_fn(model, task)

  def eval_step(params, metrics, batch):
    specs = P()
    if getattr(model, 'embedding_axis', None):
      specs = meshes.partition_specs(params, mesh)
    losses_B, outputs = meshes.map_batch(loss_fn, mesh, specs)(params, batch)
    return task.update_metrics(metrics, outputs.logits, losses_B, batch)

  return jax.jit(
    eval_step,
    donate_argnums=1,
    out_shardings=meshes.replicated(mesh),
    compiler_options=meshes.compiler_options(mesh),
  )


def evaluate(
  eval_step: Callable[..., Any],
  params: Any,
  task: SingleLabel,
  split: EncodedSplit,
  batch_size: int,
  mesh: Mesh,
) -> dict[str, Any]:
  """The metrics over every example of a split, once each."""
  metrics = jax.device_put(task.empty_metrics(), meshes.replicated(mesh))
  batches = meshes.prefetch_to_mesh(
    (
      split.batch(rows, length, batch_size)
      for length, rows in split.plan(batch_size)
    ),
    mesh,
  )
  with contextlib.closing(batches):
    for batch in batches:
      metrics = eval_step(params, metrics, batch)
  return metrics.compute()
