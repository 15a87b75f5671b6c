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
    weights_BxKxT: jax.Array | None = None,
    head_labels_BxK: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the logits, and the weights of K labels.

    Args:
      h_BxTxF, mask_BxT: the states and the mask of the real ones.
      weights_BxKxT: weights to use instead of the layer's own.
      head_labels_BxK: the indices of the labels whose weights are replaced or
        returned. By default they are all labels in order; or if there are more
        than `MAX_HEADS` and no weights are replaced, those with the largest
        logits, the largest first.

    Returns:
      The logits [B, C], the weights [B, K, T], and their labels [B, K].

    Raises:
      ValueError: the number of the weights is not that of their labels.
    """
    labels, features = self.num_labels, h_BxTxF.shape[-1]
    kernel_init = nn.initializers.lecun_normal(in_axis=-1, out_axis=0)
    query = param(self, 'query', query_init(features), labels, features)
    kernel = param(self, 'kernel', kernel_init, labels, features)
    bias = param(self, 'bias', nn.initializers.zeros, labels)
    query, kernel = query.astype(h_BxTxF.dtype), kernel.astype(h_BxTxF.dtype)
    logits_BxC = label_wise_logits(h_BxTxF, mask_BxT, query, kernel, bias)
    label_BxK = head_labels_BxK
    if label_BxK is None:
      label_BxK = jnp.broadcast_to(jnp.arange(labels), logits_BxC.shape)
      if labels > MAX_HEADS and weights_BxKxT is None:
        _, label_BxK = jax.lax.top_k(logits_BxC, MAX_HEADS)
    if weights_BxKxT is None:
      weights_BxKxT = label_attention(h_BxTxF, mask_BxT, query[label_BxK])
      return logits_BxC, weights_BxKxT, label_BxK
    heads, expected = weights_BxKxT.shape[1], label_BxK.shape[1]
    if heads != expected:
      raise ValueError(f'attention: {heads} heads for {expected} labels')
    values_BxKxT = kernel[label_BxK] @ h_BxTxF.mT
    replaced_BxK = jnp.sum(weights_BxKxT * values_BxKxT, -1) + bias[label_BxK]
    logits_BxC = jnp.put_along_axis(
      logits_BxC, label_BxK, replaced_BxK, axis=1, inplace=False
    )
    return logits_BxC, weights_BxKxT, label_BxK
