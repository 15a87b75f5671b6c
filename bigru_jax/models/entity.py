"""Entity-aware attention as a layer, in place of a pooling."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.ops.attention import masked_softmax, weighted_mean


class Entity(nn.Module):
  """Attention that scores each state together with two entities of the text.

    u_t = tanh(W h_t + V [e_1; e_2] + b),  a = softmax_t(u . u_t),
    c = [sum_t a_t h_t; e_1; e_2]

  An entity e_i is the mean of the states of its words. The weights depend on
  both entities as in Qin, Xu & Guo, 2017,
  https://doi.org/10.1155/2017/3924641, with an additive score in place of their
  dot product; the entities stand beside the weighted mean as in Wu & He, 2019,
  https://arxiv.org/abs/1905.08284.
  """

  @nn.compact
  def __call__(
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxKxT: jax.Array | None = None,
    *,
    entities_BxT: jax.Array,
  ) -> tuple[jax.Array, jax.Array]:
    """Returns the context c_Bx3F and the weights [B, 1, T].

    Args:
      h_BxTxF, mask_BxT: the states, and which are real.
      weights_BxKxT: weights to use instead of its own.
      entities_BxT: 1 inside the first entity, 2 inside the second, else 0. The
        mean of no state is zero, as in a padding example.
    """
    features, dtype = h_BxTxF.shape[-1], h_BxTxF.dtype
    init = nn.initializers.lecun_normal()
    kernel = self.param('kernel', init, (features, features), jnp.float32)
    entity_kernel = self.param(
      'entity_kernel', init, (2 * features, features), jnp.float32
    )
    bias = self.param('bias', nn.initializers.zeros, (features,), jnp.float32)
    query = self.param(
      'query', nn.initializers.normal(features**-0.5), (features,), jnp.float32
    )
    means = [
      _mean(h_BxTxF, mask_BxT & (entities_BxT == entity)) for entity in (1, 2)
    ]
    e_Bx2F = jnp.concatenate(means, axis=-1)
    if weights_BxKxT is None:
      bias_BxF = e_Bx2F @ entity_kernel.astype(dtype) + bias.astype(dtype)
      keys_BxTxF = h_BxTxF @ kernel.astype(dtype) + bias_BxF[:, None]
      scores_BxT = jnp.tanh(keys_BxTxF) @ query.astype(dtype)
      weights_BxKxT = masked_softmax(scores_BxT, mask_BxT)[:, None]
    context_BxF = weighted_mean(h_BxTxF, weights_BxKxT[:, 0])
    return jnp.concatenate([context_BxF, e_Bx2F], axis=-1), weights_BxKxT


def _mean(h_BxTxF: jax.Array, chosen_BxT: jax.Array) -> jax.Array:
  """The mean of the chosen states, [B, F]; zero where there is none."""
  count_B = jnp.maximum(chosen_BxT.sum(1, keepdims=True), 1)
  return weighted_mean(h_BxTxF, chosen_BxT / count_B)
