"""The diagnostic MLP: is the attention of a model of use to another?"""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.explain.attributions import attention_weights
from bigru_jax.explain.interventions import uniform_weights
from bigru_jax.models.build import init_params
from bigru_jax.models.classifier import Classifier
from bigru_jax.ops.dropout import example_keys
from bigru_jax.runtime.fields import check_count
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import SingleLabel

# The weights with which the MLP pools its states.
GUIDES = 'uniform', 'own', 'model'
_LEARNING_RATE = 1e-3
_TEST_BATCH = 256


@single_precision()
def accuracies(
  model: Classifier,
  task: SingleLabel,
  params: Any,
  train: EncodedSplit,
  test: EncodedSplit,
  table_VxE: np.ndarray,
  epochs: int = 8,
  batch_size: int = 64,
  seed: int = 0,
) -> dict[str, np.ndarray]:
  """Whether an MLP guided by each of `GUIDES` is right about each text.

    h_t = tanh(W x_t + b),  c = sum_t a_t h_t,  y = softmax(V c + d)

  Wiegreffe & Pinter, 2019, https://aclanthology.org/D19-1002, section 3.4 and
  table 3: the MLP sees each token alone, and its weights a_t are frozen
  (`uniform`, or those of the model, `model`) or learned together with it
  (`own`). Attention that means something outside its model makes `model` better
  than `own` and `uniform`.

  Args:
    model, task, params: the trained model, whose attention is tested.
    train, test: texts.
    table_VxE: the embeddings that the MLP starts from, not those that the
      model has learned.
    epochs, batch_size, seed: of the MLP's training, by Adam.

  Returns:
    By name of the guide, bool [N] for the texts of `test`.

  Raises:
    ValueError: `epochs` or `batch_size` is below 1.
  """
  epochs = check_count('epochs', epochs)
  batch_size = check_count('batch_size', batch_size)
  mlp = model.clone(encoder='average', num_layers=1, recurrent_dropout=0.0)
  initial = {
    **init_params(mlp, seed),
    'embedding': jnp.asarray(table_VxE),
  }

  def own(params, batch):
    del params, batch

  def uniform(params, batch):
    heads = attention_weights(model, params, batch).shape[1]
    return uniform_weights(batch, heads)

  def of_model(params, batch):
    return attention_weights(model, params, batch)

  guides = dict(zip(GUIDES, (uniform, own, of_model)))
  return {
    name: _correct(
      _train(
        mlp, task, params, guide, initial, train, epochs, batch_size, seed
      ),
      mlp,
      task,
      params,
      guide,
      test,
    )
    for name, guide in guides.items()
  }


def _given(weights: jax.Array | None) -> dict[str, jax.Array] | None:
  return None if weights is None else {'words': weights}


def _train(
  mlp: Classifier,
  task: SingleLabel,
  params: Any,
  guide: Callable[..., jax.Array | None],
  initial: Any,
  train: EncodedSplit,
  epochs: int,
  batch_size: int,
  seed: int,
) -> Any:
  """The MLP's parameters after training with a guide's weights."""
  optimizer = optax.adam(_LEARNING_RATE)

  @functools.partial(jax.jit, donate_argnums=(0, 1))
  def step(mlp_params, state, params, batch, number):
    keys_B = example_keys(seed, number, len(batch['lengths']))
    weights = guide(params, batch)

    def loss(mlp_params):
      outputs: Any = mlp.apply(
        {'params': mlp_params}, batch, keys_B, _given(weights)
      )
      losses_B = task.losses(outputs.logits, batch)
      return (losses_B * batch['weights']).sum() / batch['weights'].sum()

    updates, state = optimizer.update(jax.grad(loss)(mlp_params), state)
    return optax.apply_updates(mlp_params, updates), state

  mlp_params = jax.tree.map(jnp.array, initial)  # A copy, which is donated.
  state, number = optimizer.init(mlp_params), 0
  for epoch in range(epochs):
    for shape, rows in train.plan(batch_size, seed, epoch):
      batch = train.batch(rows, shape, batch_size)
      mlp_params, state = step(
        mlp_params, state, params, batch, jnp.int32(number)
      )
      number += 1
  return mlp_params


def _correct(
  mlp_params: Any,
  mlp: Classifier,
  task: SingleLabel,
  params: Any,
  guide: Callable[..., jax.Array | None],
  test: EncodedSplit,
) -> np.ndarray:
  """Whether the MLP with a guide's weights is right about each text."""

  @jax.jit
  def answer(mlp_params, params, batch):
    outputs: Any = mlp.apply(
      {'params': mlp_params}, batch, attention=_given(guide(params, batch))
    )
    return task.probabilities(outputs.logits).argmax(-1)

  correct = np.zeros(len(test), bool)
  size = min(_TEST_BATCH, len(test))
  for shape, rows in test.plan(size):
    batch = test.batch(rows, shape, size)
    found_B = np.asarray(answer(mlp_params, params, batch))
    correct[rows] = (found_B == batch['labels'])[: len(rows)]
  return correct
