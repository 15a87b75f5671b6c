"""Flax Linen: nn.Bidirectional over nn.RNN and nn.GRUCell."""

import functools

from flax import linen as nn
import jax.numpy as jnp

from peers import jitted, task as tasks


def _bidirectional(hidden):
  return nn.Bidirectional(
    nn.RNN(nn.GRUCell(hidden)), nn.RNN(nn.GRUCell(hidden))
  )


class _Classifier(nn.Module):
  vocabulary: int
  classes: int
  embedding: int
  hidden: int

  @nn.compact
  def __call__(self, tokens_BxT, lengths_B, train):
    drop = functools.partial(nn.Dropout, tasks.DROPOUT, deterministic=not train)
    x_BxTxE = drop()(nn.Embed(self.vocabulary, self.embedding)(tokens_BxT))
    h_BxTx2H = _bidirectional(self.hidden)(x_BxTxE)
    keys_BxTx2H = jnp.tanh(nn.Dense(2 * self.hidden)(h_BxTx2H))
    scores_BxT = nn.Dense(1, use_bias=False)(keys_BxTx2H)[..., 0]
    alpha_BxT = nn.softmax(jitted.masked_scores(scores_BxT, lengths_B))
    c_Bx2H = jnp.einsum('bt,bth->bh', alpha_BxT, h_BxTx2H)
    return nn.Dense(self.classes)(drop()(c_Bx2H))


def _encoder(hidden):
  module = _bidirectional(hidden)
  return module.init, module.apply


def _classifier(case, task):
  module = _Classifier(
    task.vocabulary, task.classes, case.embedding, case.hidden
  )

  def init(key, tokens_BxT, lengths_B):
    return module.init(key, tokens_BxT, lengths_B, train=False)

  def apply(params, tokens_BxT, lengths_B, key):
    rngs = None if key is None else {'dropout': key}
    return module.apply(
      params, tokens_BxT, lengths_B, train=key is not None, rngs=rngs
    )

  return init, apply


def build(case):
  return jitted.build(case, _encoder, _classifier)
