"""Keras 3 on JAX (KERAS_BACKEND=jax): layers.Bidirectional(layers.GRU)."""

import jax
import keras
from keras import layers

from peers import jitted, task as tasks


def _bidirectional(hidden):
  return layers.Bidirectional(layers.GRU(hidden, return_sequences=True))


def _functions(model):
  """A model as pure functions; what is not trained is the dropout's seeds."""

  def init(key, *inputs):
    return [x.value for x in model.trainable_variables]

  def apply(params, *inputs, key=None):
    seeds = [x.value for x in model.non_trainable_variables]
    if key is not None:
      seeds = list(jax.random.bits(key, (len(seeds), 2)))
    return model.stateless_call(
      params, seeds, list(inputs), training=key is not None
    )[0]

  return init, apply


def _encoder(hidden):
  layer = _bidirectional(hidden)

  def init(key, x_BxTxE):
    layer.build(x_BxTxE.shape)
    return _functions(layer)[0](key)

  def apply(params, x_BxTxE):
    seeds = [x.value for x in layer.non_trainable_variables]
    return layer.stateless_call(params, seeds, x_BxTxE)[0]

  return init, apply


class _Masked(layers.Layer):
  def call(self, scores_BxT, lengths_B):
    return jitted.masked_scores(scores_BxT, lengths_B)


def _classifier(case, task):
  tokens_BxT = keras.Input([None], dtype='int32')
  lengths_B = keras.Input([], dtype='int32')
  x_BxTxE = layers.Embedding(task.vocabulary, case.embedding)(tokens_BxT)
  x_BxTxE = layers.Dropout(tasks.DROPOUT)(x_BxTxE)
  h_BxTx2H = _bidirectional(case.hidden)(x_BxTxE)
  keys_BxTx2H = layers.Dense(2 * case.hidden, 'tanh')(h_BxTx2H)
  scores_BxTx1 = layers.Dense(1, use_bias=False)(keys_BxTx2H)
  scores_BxT = _Masked()(scores_BxTx1[..., 0], lengths_B)
  c_Bx2H = layers.Dot(1)([layers.Softmax()(scores_BxT), h_BxTx2H])
  c_Bx2H = layers.Dropout(tasks.DROPOUT)(c_Bx2H)
  logits_BxC = layers.Dense(task.classes)(c_Bx2H)
  init, apply = _functions(keras.Model([tokens_BxT, lengths_B], logits_BxC))
  return init, lambda params, tokens_BxT, lengths_B, key: apply(
    params, tokens_BxT, lengths_B, key=key
  )


def build(case):
  return jitted.build(case, _encoder, _classifier)
