"""Haiku: hk.GRU under hk.dynamic_unroll, once a direction."""

import haiku as hk
import jax
import jax.numpy as jnp

from peers import jitted, task as tasks


def _bidirectional(hidden, x_BxTxE):
  states = []
  for reverse in (False, True):
    core = hk.GRU(hidden)
    start = core.initial_state(len(x_BxTxE))
    h_BxTxH, _ = hk.dynamic_unroll(
      core, x_BxTxE, start, time_major=False, reverse=reverse
    )
    states.append(h_BxTxH)
  return jnp.concatenate(states, axis=-1)


def _encoder(hidden):
  module = hk.without_apply_rng(
    hk.transform(lambda x_BxTxE: _bidirectional(hidden, x_BxTxE))
  )
  return module.init, module.apply


def _classifier(case, task):
  def classify(tokens_BxT, lengths_B, train=False):
    def drop(x):
      return hk.dropout(hk.next_rng_key(), tasks.DROPOUT, x) if train else x

    x_BxTxE = drop(hk.Embed(task.vocabulary, case.embedding)(tokens_BxT))
    h_BxTx2H = _bidirectional(case.hidden, x_BxTxE)
    keys_BxTx2H = jnp.tanh(hk.Linear(2 * case.hidden)(h_BxTx2H))
    scores_BxT = hk.Linear(1, with_bias=False)(keys_BxTx2H)[..., 0]
    alpha_BxT = jax.nn.softmax(jitted.masked_scores(scores_BxT, lengths_B))
    c_Bx2H = jnp.einsum('bt,bth->bh', alpha_BxT, h_BxTx2H)
    return hk.Linear(task.classes)(drop(c_Bx2H))

  module = hk.transform(classify)

  def apply(params, tokens_BxT, lengths_B, key):
    return module.apply(
      params, key, tokens_BxT, lengths_B, train=key is not None
    )

  return module.init, apply


def build(case):
  return jitted.build(case, _encoder, _classifier)
