"""The diagnostic MLP tests whether a model's attention helps another model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.explain.interventions import uniform_weights
from bigru_jax.explain.positions import Batch
from bigru_jax.explain.predictions import TrainedModel, over_split
from bigru_jax.models.build import init_params
from bigru_jax.ops.dropout import example_keys
from bigru_jax.runtime.fields import check_count
from bigru_jax.runtime.precision import single_precision

_LEARNING_RATE = 1e-3
_TEST_BATCH = 256
# The weights by name with which the MLP pools its states; None: it learns them.
Guide = Callable[[TrainedModel, Batch], dict[str, jax.Array] | None]


def _uniform(trained: TrainedModel, batch: Batch) -> dict[str, jax.Array]:
  heads = trained.attention_weights(batch).shape[1]
  return {'words': uniform_weights(batch, heads)}


GUIDES: dict[str, Guide] = {
  'uniform': _uniform,
  'own': lambda trained, batch: None,
  'model': lambda trained, batch: {'words': trained.attention_weights(batch)},
}


@single_precision()
def accuracies(
  trained: TrainedModel,
  train: EncodedSplit,
  test: EncodedSplit,
  table_VxE: np.ndarray,
  epochs: int = 8,
  batch_size: int = 64,
  seed: int = 0,
) -> dict[str, np.ndarray]:
  """Tests on each text whether MLPs guided by each of `GUIDES` are right.

    h_t = tanh(W x_t + b),  c = sum_t a_t h_t,  y = softmax(V c + d)

  Wiegreffe & Pinter, 2019, https://aclanthology.org/D19-1002, section 3.4 and
  table 3: the MLP sees each token alone. Its weights a_t are frozen (`uniform`,
  or those of the model, `model`) or trained with it (`own`). If attention has a
  meaning outside its model, `model` is better than `own` and `uniform`.

  Args:
    trained: the model whose attention is tested.
    train, test: the texts for training and testing the MLP.
    table_VxE: the MLP's initial embeddings, not those that the model has
      learned.
    epochs, batch_size, seed: settings of the MLP's training with Adam.

  Returns:
    For each guide's name, bool [N]: whether the MLP is right about each text of
    `test`.

  Raises:
    ValueError: `epochs` or `batch_size` is below 1.
  """
  epochs = check_count('epochs', epochs)
  batch_size = check_count('batch_size', batch_size)
  module = trained.model.clone(
    encoder='average', num_layers=1, recurrent_dropout=0.0
  )
  initial = {**init_params(module, seed), 'embedding': jnp.asarray(table_VxE)}
  mlp = TrainedModel(module, trained.task, initial)
  correct = {}
  for name, guide in GUIDES.items():
    batches = (
      train.batch(indices, shape, batch_size)
      for epoch in range(epochs)
      for shape, indices in train.plan(batch_size, seed, epoch)
    )
    models = _train(mlp, guide, trained, batches, seed), trained
    step = functools.partial(_correct, guide=guide)
    results = over_split(step, models, test, _TEST_BATCH)
    correct[name] = np.array(results['correct'], bool)
  return correct


def _train(
  mlp: TrainedModel,
  guide: Guide,
  trained: TrainedModel,
  batches: Iterable[dict[str, np.ndarray]],
  seed: int,
) -> TrainedModel:
  """Returns the MLP after training with a guide's weights."""
  optimizer = optax.adam(_LEARNING_RATE)

  @functools.partial(jax.jit, donate_argnums=(0, 1))
  def step(mlp, state, trained, batch, number):
    keys_B = example_keys(seed, number, len(batch['lengths']))
    weights = guide(trained, batch)

    def loss(params):
      outputs = mlp.replace(params=params).outputs(
        batch, dropout_keys_B=keys_B, attention=weights
      )
      losses_B = mlp.task.losses(outputs.logits, batch)
      weight = jnp.maximum(batch['weights'].sum(), 1e-9)  # All may be 0.
      return (losses_B * batch['weights']).sum() / weight

    updates, state = optimizer.update(jax.grad(loss)(mlp.params), state)
    params = optax.apply_updates(mlp.params, updates)
    return mlp.replace(params=params), state

  mlp = jax.tree.map(jnp.array, mlp)  # A copy, which is donated.
  state = optimizer.init(mlp.params)
  for number, batch in enumerate(batches):
    mlp, state = step(mlp, state, trained, batch, jnp.int32(number))
  return mlp


@functools.partial(jax.jit, static_argnames='guide')
def _correct(
  models: tuple[TrainedModel, TrainedModel],
  batch: Batch,
  key: jax.Array,
  guide: Guide,
) -> dict[str, jax.Array]:
  """Returns whether the MLP with a guide's weights is right about each text."""
  del key
  mlp, trained = models
  outputs = mlp.outputs(batch, attention=guide(trained, batch))
  classes_B = mlp.task.probabilities(outputs.logits).argmax(-1)
  return {'correct': classes_B == batch['labels']}
