"""The baselines on JAX: the bidirectional GRU layers of Flax, Haiku and Keras.

Each is combined with the same embedding, dropout, attention and dense layers of
Flax, so that only the recurrence differs. They use one host device with all
threads, XLA's default flags, optax's Adam, float32 parameters, and *no mask in
the encoder*, which none of them has for free; the attention is masked.
"""

import functools
from typing import Any

import cases
from cases import Call, Case
from flax import linen as nn
import jax
import jax.numpy as jnp
import optax


def flax(hidden: int, dtype: str) -> tuple[Any, Any]:
  """Returns Flax Linen's nn.Bidirectional over nn.RNN and nn.GRUCell."""
  forward, backward = (
    nn.RNN(nn.GRUCell(hidden, dtype=jnp.dtype(dtype))) for _ in range(2)
  )
  layer = nn.Bidirectional(forward, backward)
  return layer.init, layer.apply


def haiku(hidden: int, dtype: str) -> tuple[Any, Any]:
  """Returns Haiku's hk.GRU under hk.dynamic_unroll, once per direction.

  Raises:
    ValueError: the dtype is not float32, the only one that hk.GRU has.
  """
  import haiku as hk

  if dtype != 'float32':
    raise ValueError(f'hk.GRU does not compute in {dtype}')

  def both(x_BxTxE):
    states = []
    unroll = functools.partial(hk.dynamic_unroll, time_major=False)
    for reverse in (False, True):
      cell = hk.GRU(hidden)
      start = cell.initial_state(len(x_BxTxE))
      states.append(unroll(cell, x_BxTxE, start, reverse=reverse)[0])
    return jnp.concatenate(states, axis=-1)

  layer: Any = hk.without_apply_rng(hk.transform(both))
  return layer.init, layer.apply


def keras(hidden: int, dtype: str) -> tuple[Any, Any]:
  """Returns Keras 3's layers.Bidirectional(layers.GRU), on JAX."""
  from keras import layers

  policy = dtype if dtype == 'float32' else f'mixed_{dtype}'
  gru = layers.GRU(hidden, return_sequences=True, dtype=policy)
  layer = layers.Bidirectional(gru, dtype=policy)

  def init(key, x_BxTxE):
    layer.build(x_BxTxE.shape)
    return [variable.value for variable in layer.trainable_variables]

  def apply(params, x_BxTxE):
    fixed = [variable.value for variable in layer.non_trainable_variables]
    return layer.stateless_call(params, fixed, x_BxTxE)[0]

  return init, apply


def build(name: str, case: Case) -> Call:
  """Returns the function that does the work of a case once."""
  make_layer = {'flax': flax, 'haiku': haiku, 'keras': keras}[name]
  init, apply = make_layer(case.hidden, case.dtype)
  if case.work in ('forward', 'backward'):
    return encoder(case, init, apply)
  return _classifier(case, init, apply)


def device_peak_mib() -> float:
  """Returns the peak memory of this process on the device; 0 on a CPU."""
  statistics = jax.devices()[0].memory_stats() or {}
  return statistics.get('peak_bytes_in_use', 0) / 2**20


def encoder(
  case: Case, init: Any, apply: Any, *mask_BxT: jax.Array, **options: Any
) -> Call:
  """Returns a function that runs an encoder, forward or also backward.

  Args:
    case: the sizes, and which of the two.
    init: a function (key, x_BxTxE) -> parameters.
    apply: a function (parameters, x_BxTxE, *mask_BxT) -> states_BxTx2H.
    mask_BxT: the mask of an encoder that takes one.
    options: of `jax.jit`.
  """
  dtype = jnp.dtype(case.dtype)
  x_BxTxE, dy_BxTx2H = (
    jnp.asarray(array, dtype) for array in cases.encoder_arrays(case)
  )
  params = init(jax.random.key(0), x_BxTxE)

  def gradients(params, x_BxTxE, *mask_BxT):
    h_BxTx2H, pull_back = jax.vjp(
      lambda p, x: apply(p, x, *mask_BxT), params, x_BxTxE
    )
    # Flax's state is in float32 whichever the dtype of the computation.
    return pull_back(dy_BxTx2H.astype(h_BxTx2H.dtype))

  backward = case.work == 'backward'
  program = jax.jit(gradients if backward else apply, **options)

  def call() -> jax.Array:
    result = jax.block_until_ready(program(params, x_BxTxE, *mask_BxT))
    return result[1] if backward else result

  return call


class Classifier(nn.Module):
  """Embedding, an encoder, additive attention over valid positions, dense."""

  vocabulary: int
  embedding: int
  classes: int
  dtype: Any

  @nn.compact
  def __call__(self, batch: Any, encode: Any) -> jax.Array:
    drop = functools.partial(
      nn.Dropout, cases.DROPOUT, deterministic=not self.has_rng('dropout')
    )
    dense = functools.partial(nn.Dense, dtype=self.dtype)
    embed = nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype)
    tokens_BxT = batch['tokens']
    h_BxTxF = encode(drop()(embed(tokens_BxT)))
    keys_BxTxF = jnp.tanh(dense(h_BxTxF.shape[-1])(h_BxTxF))
    scores_BxT = dense(1, use_bias=False)(keys_BxTxF)[..., 0]
    scores_BxT = scores_BxT.astype(jnp.float32)
    mask_BxT = jnp.arange(tokens_BxT.shape[1]) < batch['lengths'][:, None]
    alpha_BxT = jax.nn.softmax(jnp.where(mask_BxT, scores_BxT, -1e9))
    alpha_BxT = alpha_BxT.astype(self.dtype)
    c_BxF = drop()(jnp.einsum('bt,btf->bf', alpha_BxT, h_BxTxF))
    return dense(self.classes)(c_BxF).astype(jnp.float32)


def _classifier(case: Case, init: Any, apply: Any) -> Call:
  texts = cases.make_texts(case)
  dtype = jnp.dtype(case.dtype)
  model = Classifier(texts.vocabulary, case.embedding, texts.classes, dtype)

  def logits(params, batch, **rngs):
    encode = functools.partial(apply, params['encoder'])
    return model.apply(params['model'], batch, encode, rngs=rngs)

  keys = jax.random.split(jax.random.key(0), 3)
  length, indices = texts.split.plan(case.batch)[-1]
  batch = texts.split.batch(indices, length, case.batch)
  x_BxTxE = jnp.ones((*batch['tokens'].shape, case.embedding), dtype)
  params = {'encoder': init(keys[0], x_BxTxE)}
  encode = functools.partial(apply, params['encoder'])
  params['model'] = model.init(keys[1], batch, encode)
  if case.work == 'inference':
    jitted = jax.jit(logits)
    return lambda: texts.predict(case.batch, lambda b: jitted(params, b))
  optimizer = optax.adam(cases.LEARNING_RATE)

  @functools.partial(jax.jit, donate_argnums=0)
  def update(state, batch):
    params, moments, key = state
    key, dropout_key = jax.random.split(key)

    def mean_loss(params):
      losses_B = optax.softmax_cross_entropy_with_integer_labels(
        logits(params, batch, dropout=dropout_key), batch['labels']
      )
      return jnp.sum(losses_B * batch['weights']) / jnp.sum(batch['weights'])

    loss, grads = jax.value_and_grad(mean_loss)(params)
    updates, moments = optimizer.update(grads, moments)
    return (optax.apply_updates(params, updates), moments, key), loss

  state = params, optimizer.init(params), keys[2]

  def step(batch: Any) -> jax.Array:
    nonlocal state
    state, loss = update(state, batch)
    return loss

  return texts.train(case.batch, step)
