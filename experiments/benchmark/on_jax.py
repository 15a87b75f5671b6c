"""The bidirectional GRU layers of Flax, Haiku and Keras (on JAX).

Embedding, dropout, attention and dense are the same plain JAX around each, so
that only the recurrence differs. One host device with all threads, XLA's
default flags, optax's Adam, float32, and *no mask in the encoder*, which none
of them has for free; the attention is masked.
"""

import functools
from typing import Any

import cases
from cases import Call, Case, Texts
import jax
import jax.numpy as jnp
import numpy as np
import optax


def flax(hidden: int) -> tuple[Any, Any]:
  """Flax Linen's nn.Bidirectional over nn.RNN and nn.GRUCell."""
  from flax import linen as nn

  rnns = (nn.RNN(nn.GRUCell(hidden)) for _ in range(2))
  layer = nn.Bidirectional(*rnns)
  return layer.init, layer.apply


def haiku(hidden: int) -> tuple[Any, Any]:
  """Haiku's hk.GRU under hk.dynamic_unroll, once per direction."""
  import haiku as hk

  def both(x_BxTxE):
    states = []
    for reverse in (False, True):
      cell = hk.GRU(hidden)
      start = cell.initial_state(len(x_BxTxE))
      states.append(
        hk.dynamic_unroll(
          cell, x_BxTxE, start, time_major=False, reverse=reverse
        )[0]
      )
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
  if case.flops:
    return _encoder(case, *layer)
  texts = cases.make_texts(case)
  params = _init(case, texts, layer[0])
  logits = functools.partial(_logits, layer[1])
  if case.work == 'inference':
    return texts.inference(functools.partial(jax.jit(logits), params))
  return _training(texts, params, logits)


def _encoder(case: Case, init: Any, apply: Any) -> Call:
  x_BxTxE, dy_BxTx2H = map(jnp.asarray, cases.encoder_arrays(case))
  params = init(jax.random.key(0), x_BxTxE)

  @jax.jit
  def run(params: Any, x_BxTxE: jax.Array, dy_BxTx2H: jax.Array) -> Any:
    if case.work == 'forward':
      return [apply(params, x_BxTxE)]
    return jax.vjp(apply, params, x_BxTxE)[1](dy_BxTx2H)

  return lambda: jax.block_until_ready(run(params, x_BxTxE, dy_BxTx2H))[-1]


def _init(case: Case, texts: Texts, init: Any) -> dict[str, Any]:
  rng, features = np.random.default_rng(0), 2 * case.hidden
  shapes = {
    'embedding': (texts.vocabulary, case.embedding),
    'key': (features, features), 'bias': (features,), 'query': (features,),
    'output': (features, texts.classes), 'output_bias': (texts.classes,),
  }  # fmt: skip
  params = {
    name: jnp.asarray(0.1 * rng.standard_normal(shape, np.float32))
    for name, shape in shapes.items()
  }
  x_BxTxE = jnp.ones((case.batch, texts.split.buckets[-1], case.embedding))
  return {**params, 'encoder': init(jax.random.key(0), x_BxTxE)}


def _logits(apply: Any, p: Any, batch: Any, key: Any = None) -> jax.Array:
  """Embedding, layer, additive attention over valid positions, dense."""

  def drop(x, site):
    if key is None:
      return x
    keep = 1 - cases.DROPOUT
    kept = jax.random.bernoulli(jax.random.fold_in(key, site), keep, x.shape)
    return jnp.where(kept, x / keep, 0)

  tokens_BxT = batch['tokens']
  h_BxTxF = apply(p['encoder'], drop(p['embedding'][tokens_BxT], 0))
  scores_BxT = jnp.tanh(h_BxTxF @ p['key'] + p['bias']) @ p['query']
  mask_BxT = jnp.arange(tokens_BxT.shape[1]) < batch['lengths'][:, None]
  alpha_BxT = jax.nn.softmax(jnp.where(mask_BxT, scores_BxT, -1e9))
  c_BxF = drop(jnp.einsum('bt,btf->bf', alpha_BxT, h_BxTxF), 1)
  return c_BxF @ p['output'] + p['output_bias']


def _training(texts: Texts, params: Any, logits: Any) -> Call:
  optimizer = optax.adam(cases.LEARNING_RATE)

  @functools.partial(jax.jit, donate_argnums=0)
  def update(state: Any, batch: Any) -> tuple[Any, jax.Array]:
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

  def step(batch: Any) -> jax.Array:
    nonlocal state
    state, loss = update(state, batch)
    return loss

  return texts.training(step)
