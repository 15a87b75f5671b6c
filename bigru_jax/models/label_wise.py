"""Label-wise attention, a layer that replaces the pooling and dense layers."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.models.pooling_layers import param, query_init
from bigru_jax.ops.label_wise import label_attention, label_wise_logits

MAX_HEADS = 16  # The maximal number of labels whose weights are returned.


class LabelWise(nn.Module):
  """Attention with its own weights, context and logit for each label.

  Mullenbach et al., 2018, https://aclanthology.org/N18-1100.

  Attributes:
    num_labels: C, the number of labels.
  """

  num_labels: int

  @nn.compact
  def __call__(
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxCxT: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the logits, and the weights of at most `MAX_HEADS` labels.

    Args:
      h_BxTxF, mask_BxT: the states and the mask of the real ones.
      weights_BxCxT: weights of all labels to use instead of its own.

    Returns:
      The logits [B, C], the weights [B, K, T] of K labels, and the indices
      [B, K] of these labels. They are all labels in order, or of more than
      `MAX_HEADS` labels those with the largest logits, the largest first.

    Raises:
      ValueError: the given weights are not those of all labels.
    """
    labels, features = self.num_labels, h_BxTxF.shape[-1]
    kernel_init = nn.initializers.lecun_normal(in_axis=-1, out_axis=0)
    query = param(self, 'query', query_init(features), labels, features)
    kernel = param(self, 'kernel', kernel_init, labels, features)
    bias = param(self, 'bias', nn.initializers.zeros, labels)
    query, kernel = query.astype(h_BxTxF.dtype), kernel.astype(h_BxTxF.dtype)
    if weights_BxCxT is None:
      logits_BxC = label_wise_logits(h_BxTxF, mask_BxT, query, kernel, bias)
    else:
      if weights_BxCxT.shape[1] != labels:
        raise ValueError(
          f'attention: {weights_BxCxT.shape[1]} heads for {labels} labels'
        )
      values_BxCxT = kernel @ h_BxTxF.mT
      logits_BxC = jnp.sum(weights_BxCxT * values_BxCxT, axis=-1) + bias
    if labels <= MAX_HEADS:
      label_BxK = jnp.broadcast_to(jnp.arange(labels), logits_BxC.shape)
    else:
      _, label_BxK = jax.lax.top_k(logits_BxC, MAX_HEADS)
    if weights_BxCxT is None:
      weights = label_attention(h_BxTxF, mask_BxT, query[label_BxK])
    else:
      weights = jnp.take_along_axis(weights_BxCxT, label_BxK[..., None], axis=1)
    return logits_BxC, weights, label_BxK
