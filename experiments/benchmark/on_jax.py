"""The bidirectional GRU layers of Flax, Haiku and Keras (on JAX).

Embedding, dropout, attention and dense are the same plain JAX around each, so
that only the recurrence differs. One host device with all threads, XLA's
default flags, optax's Adam, float32, and *no mask in the encoder*, which none
of them has for free; the attention is masked.
"""

import functools
from typing import Any

from cases import (
  DROPOUT,
  LEARNING_RATE,
  Call,
  Case,
  Texts,
  encoder_arrays,
  make_texts,
)
import jax
import jax.numpy as jnp
import numpy as np
import optax


def flax(hidden: int) -> tuple[Any, Any]:
  """Flax Linen's nn.Bidirectional over nn.RNN and nn.GRUCell."""
  from flax import linen as nn

  layer = nn.Bidirectional(
    nn.RNN(nn.GRUCell(hidden)), nn.RNN(nn.GRUCell(hidden))
  )
  return layer.init, layer.apply


def haiku(hidden: int) -> tuple[Any, Any]:
  """Haiku's hk.GRU under hk.dynamic_unroll, once per direction."""
  import haiku as hk

  def both(x_BxTxE):
    states = []
    for reverse in (False, True):
      cell = hk.GRU(hidden)
      start = cell.initial_state(len(x_BxTxE))
      unroll = functools.partial(hk.dynamic_unroll, time_major=False)
      states.append(unroll(cell, x_BxTxE, start, reverse=reverse)[0])
    return jnp.concatenate(states, axis=-1)

  layer: Any = hk.without_apply_rng(hk.transform(both))
  return layer.init, layer.apply


def keras(hidden: int) -> tuple[Any, Any]:
  """Keras 3's layers.Bidirectional(layers.GRU), KERAS_BACKEND=jax."""
  from keras import layers

  layer = layers.Bidirectional(layers.GRU(hidden, return_sequences=True))

  def init(key, x_BxTxE):
    layer.build(x_BxTxE.shape)
    return [variable.value for variable in layer.trainable_variables]

  def apply(params, x_BxTxE):
    others = [variable.value for variable in layer.non_trainable_variables]
    return layer.stateless_call(params, others, x_BxTxE)[0]

  return init, apply


def build(name: str, case: Case) -> Call:
  """The function that does the work of a case once."""
  layer = {'flax': flax, 'haiku': haiku, 'keras': keras}[name](case.hidden)
  if case.work in ('forward', 'backward'):
    return _encoder(case, *layer)
  texts = make_texts(case)
  params = _init(case, texts, layer[0])
  logits = functools.partial(_logits, layer[1])
  if case.work == 'inference':
    jitted = jax.jit(logits)
    return lambda: texts.predict(case.batch, lambda b: jitted(params, b))
  return _training(case, texts, params, logits)


def _encoder(case: Case, init: Any, apply: Any) -> Call:
  x_BxTxE, dy_BxTx2H = map(jnp.asarray, encoder_arrays(case))
  params = init(jax.random.key(0), x_BxTxE)
  if case.work == 'forward':
    forward = jax.jit(apply)
    return lambda: jax.block_until_ready(forward(params, x_BxTxE))

  @jax.jit
  def gradients(params, x_BxTxE, dy_BxTx2H):
    return jax.vjp(apply, params, x_BxTxE)[1](dy_BxTx2H)

  return lambda: jax.block_until_ready(gradients(params, x_BxTxE, dy_BxTx2H))[1]


def _init(case: Case, texts: Texts, init: Any) -> dict[str, Any]:
  keys = iter(jax.random.split(jax.random.key(0), 5))
  features = 2 * case.hidden
  normal = functools.partial(jax.random.normal, dtype=jnp.float32)
  x_BxTxE = jnp.ones((case.batch, max(texts.split.buckets), case.embedding))
  return {
    'encoder': init(next(keys), x_BxTxE),
    'embedding': normal(next(keys), (texts.vocabulary, case.embedding)) * 0.1,
    'key': normal(next(keys), (features, features)) * features**-0.5,
    'bias': jnp.zeros(features),
    'query': normal(next(keys), (features,)) * features**-0.5,
    'output': normal(next(keys), (features, texts.classes)) * features**-0.5,
    'output_bias': jnp.zeros(texts.classes),
  }


def _logits(apply: Any, p: Any, batch: Any, key: Any = None) -> jax.Array:
  """Embedding, layer, additive attention over valid positions, dense."""

  def drop(x, site):
    if key is None:
      return x
    keep = jax.random.bernoulli(jax.random.fold_in(key, site), DROPOUT, x.shape)
    return jnp.where(keep, x / (1 - DROPOUT), 0)

  tokens_BxT = batch['tokens']
  h_BxTxF = apply(p['encoder'], drop(p['embedding'][tokens_BxT], 0))
  scores_BxT = jnp.tanh(h_BxTxF @ p['key'] + p['bias']) @ p['query']
  mask_BxT = jnp.arange(tokens_BxT.shape[1]) < batch['lengths'][:, None]
  alpha_BxT = jax.nn.softmax(jnp.where(mask_BxT, scores_BxT, -1e9))
  c_BxF = drop(jnp.einsum('bt,btf->bf', alpha_BxT, h_BxTxF), 1)
  return c_BxF @ p['output'] + p['output_bias']


def _training(case: Case, texts: Texts, params: Any, logits: Any) -> Call:
  optimizer = optax.adam(LEARNING_RATE)

  @functools.partial(jax.jit, donate_argnums=0)
  def step(state, batch):
    params, moments, key = state
    key, dropout_key = jax.random.split(key)

    def mean_loss(params):
      losses_B = optax.softmax_cross_entropy_with_integer_labels(
        logits(params, batch, dropout_key), batch['labels']
      )
      return jnp.sum(losses_B * batch['weights']) / jnp.sum(batch['weights'])

    loss, grads = jax.value_and_grad(mean_loss)(params)
    updates, moments = optimizer.update(grads, moments)
    return (optax.apply_updates(params, updates), moments, key), loss

  state = params, optimizer.init(params), jax.random.key(0)
  epoch = 0

  def call() -> Any:
    nonlocal state, epoch
    epoch += 1
    for batch in texts.epoch(case.batch, epoch):
      state, loss = step(state, batch)
    jax.block_until_ready(state)
    return loss if case.work == 'step' else np.size(texts.split.encoded.tokens)

  return call
