"""Terms that are added to the loss of each training example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from bigru_jax.ops.dropout import Site, dropout, fold_keys
from bigru_jax.ops.varying import vary_like
from bigru_jax.parallel import LossFn
from bigru_jax.tasks import Task

_XI = 0.1  # The norm of the first, random perturbation.


def regularized(
  apply: Callable[..., Any],
  task: Task,
  embedding_size: int,
  adversarial: float = 0.0,
  virtual_adversarial: float = 0.0,
  entropy_weight: float = 0.0,
  language_model_weight: float = 0.0,
  language_model: LossFn | None = None,
  attention_penalty: float = 0.0,
  r_drop: float = 0.0,
  mixup: float = 0.0,
) -> LossFn:
  """Returns a loss function with the chosen terms.

  Args:
    apply: (params, batch, keys_B, **inputs) -> `Outputs`, the model.
    task: gives the loss of the labels, and by its activation the divergence of
      two predictions and the entropy of one.
    embedding_size: E.
    adversarial: epsilon of `adversarial_perturbation`; the loss under the
      perturbation is added.
    virtual_adversarial: epsilon of `virtual_adversarial_perturbation`; the
      divergence of the perturbed from the original prediction is added.
    entropy_weight: the coefficient of the entropy of the prediction
      (Grandvalet & Bengio, 2004).
    language_model_weight: the coefficient of the mean loss of a text's words.
    language_model: (params, batch, keys_B) -> (losses_B, Outputs), that loss;
      the batch has `step_keys`.
    attention_penalty: the coefficient of `overlap`.
    r_drop: alpha of `two_passes`, which replaces the loss.
    mixup: alpha of `mixed`, which replaces each loss.

  Returns:
    (params, batch, keys_B) -> (losses_B, Outputs). If the batch has texts
    without labels, `unlabelled`, then the terms that need no label follow for
    each of them: losses [2 B].
  """

  def loss_fn(params, batch, keys_B, **inputs):
    outputs = apply(params, batch, keys_B, **inputs)
    return task.losses(outputs.logits, batch), outputs

  if mixup:
    loss_fn = mixed(loss_fn, task, mixup)
  of_text = two_passes(loss_fn, task, r_drop) if r_drop else loss_fn
  losses_without_labels = without_labels(
    apply,
    task,
    embedding_size,
    virtual_adversarial,
    entropy_weight,
    language_model_weight,
    language_model,
  )

  def with_terms(params, batch, keys_B):
    losses_B, outputs = of_text(params, batch, keys_B)
    if attention_penalty:
      losses_B += attention_penalty * overlap(outputs.attention['words'])
    if adversarial:

      def perturbed_losses(r):
        return loss_fn(params, batch, keys_B, perturbation=r)[0]

      r = adversarial_perturbation(
        perturbed_losses, _zeros(batch, embedding_size), adversarial
      )
      losses_B += perturbed_losses(r)
    if virtual_adversarial or entropy_weight or language_model_weight:
      losses_B += losses_without_labels(params, batch, keys_B, outputs.logits)
    if 'unlabelled' not in batch:
      return losses_B, outputs
    texts = {**batch['unlabelled'], 'step_keys': batch['step_keys']}
    keys_B = fold_keys(keys_B, Site.UNLABELLED)
    logits = apply(params, texts, keys_B).logits
    unlabelled_losses_B = losses_without_labels(params, texts, keys_B, logits)
    return jnp.concatenate([losses_B, unlabelled_losses_B]), outputs

  return with_terms


def without_labels(
  apply: Callable[..., Any],
  task: Task,
  embedding_size: int,
  virtual_adversarial: float,
  entropy_weight: float,
  language_model_weight: float,
  language_model: LossFn | None,
) -> Callable[..., Any]:
  """Returns (params, batch, keys_B, logits) -> the terms that need no label.

  Args:
    apply, task, embedding_size, virtual_adversarial, entropy_weight,
      language_model_weight, language_model: see `regularized`.
  """

  def losses(params, batch, keys_B, logits_BxC):
    losses_B = jnp.zeros_like(logits_BxC[:, 0])
    if language_model:
      word_losses_B, _ = language_model(params, batch, keys_B)
      losses_B += language_model_weight * word_losses_B
    if entropy_weight:
      probabilities_BxC = task.activation.probabilities(logits_BxC)
      losses_B += entropy_weight * task.activation.cross_entropy(
        logits_BxC, probabilities_BxC
      )
    if not virtual_adversarial:
      return losses_B
    logits_BxC = jax.lax.stop_gradient(logits_BxC)

    def divergences(r):
      perturbed = apply(params, batch, keys_B, perturbation=r)
      return task.activation.divergence(logits_BxC, perturbed.logits)

    r = virtual_adversarial_perturbation(
      divergences,
      _random_signs(batch, _zeros(batch, embedding_size), keys_B),
      virtual_adversarial,
    )
    return losses_B + divergences(r)

  return losses


def two_passes(loss_fn: Callable[..., Any], task: Task, alpha: float) -> LossFn:
  """Returns the loss of two passes with different dropout, and the first pass.

  (L(p) + L(q)) / 2 + alpha [KL(p || q) + KL(q || p)] / 2, where p and q are the
  predictions of the passes: R-Drop (Liang et al., 2021,
  https://arxiv.org/abs/2106.14448, equations 2 and 3). The paper adds both
  losses; here, as in the authors' code, their mean counts, so the learning rate
  keeps its scale, and this alpha is half the paper's.

  Args:
    loss_fn: (params, batch, keys_B, **inputs) -> (losses_B, Outputs).
    task: its activation gives the divergence of two predictions.
    alpha: the coefficient of the divergence.
  """

  def of_both(params, batch, keys_B):
    losses_B, outputs = loss_fn(params, batch, keys_B)
    other_keys_B = fold_keys(keys_B, Site.SECOND_PASS)
    others_B, other_outputs = loss_fn(params, batch, other_keys_B)
    p, q = outputs.logits, other_outputs.logits
    divergence = task.activation.divergence
    divergences_B = (divergence(p, q) + divergence(q, p)) / 2
    return (losses_B + others_B) / 2 + alpha * divergences_B, outputs

  return of_both


def mixed(
  loss_fn: Callable[..., Any], task: Task, alpha: float
) -> Callable[..., Any]:
  """Returns the losses of mixed texts, and the outputs of the texts themselves.

  For texts with the vectors c, d and the labels y, z, it is the loss of
  s c + (1 - s) d: s times that for y, and 1 - s times that for z, with s of
  Beta(alpha, alpha). This is senMixup (Guo et al., 2019,
  https://arxiv.org/abs/1905.08941). The output layer is affine, so it is the
  logits that are mixed; and a loss is affine in the targets, so mixing them
  would be the same.

  The pairs are neighbours in the batch, whose order is random, and both have
  the same s. A last odd text of a device's share, a padding example, and a
  neighbour of one, are not mixed.

  Args:
    loss_fn: see `two_passes`.
    task: its losses.
    alpha: the parameter of the distribution of s.
  """

  def of_pairs(params, batch, keys_B, **inputs):
    _, outputs = loss_fn(params, batch, keys_B, **inputs)
    weights_B = batch['weights']
    index_B = jnp.arange(len(weights_B))
    other_B = jnp.minimum(index_B ^ 1, len(weights_B) - 1)
    is_mixed_B = (weights_B > 0) & (weights_B[other_B] > 0)
    other_B = jnp.where(is_mixed_B, other_B, index_B)
    share_B = _shares(keys_B[jnp.minimum(index_B, other_B)], alpha)
    share_Bx1, logits_BxC = share_B[:, None], outputs.logits
    mixed_BxC = share_Bx1 * logits_BxC + (1 - share_Bx1) * logits_BxC[other_B]
    labels = {x: batch[x][other_B] for x in ('labels', 'targets') if x in batch}
    other_losses_B = task.losses(mixed_BxC, {**batch, **labels})
    # The caller multiplies by the weight of the text, and this is the other's.
    ratio_B = weights_B[other_B] / jnp.where(is_mixed_B, weights_B, 1)
    other_losses_B *= jnp.where(is_mixed_B, ratio_B, 1)
    losses_B = task.losses(mixed_BxC, batch)
    return share_B * losses_B + (1 - share_B) * other_losses_B, outputs

  return of_pairs


def _shares(keys_B: jax.Array, alpha: float) -> jax.Array:
  """Returns a draw from Beta(alpha, alpha) for each key, float32 [B]."""

  def draw(key):
    return jax.random.beta(key, alpha, alpha, dtype=jnp.float32)

  return jax.vmap(draw)(fold_keys(keys_B, Site.MIXUP))


def overlap(weights_BxKxT: jax.Array) -> jax.Array:
  """Returns the penalty ||A A^T - I||^2 (Frobenius) on K hops' weights.

  Lin et al., 2017, https://arxiv.org/abs/1703.03130, equation 8.
  """
  gram_BxKxK = weights_BxKxT @ weights_BxKxT.mT
  return jnp.sum((gram_BxKxK - jnp.eye(gram_BxKxK.shape[-1])) ** 2, (1, 2))


def adversarial_perturbation(
  losses: Callable[[jax.Array], jax.Array],
  zeros_BxTxE: jax.Array,
  epsilon: float,
) -> jax.Array:
  """Returns r = epsilon g / ||g||, with g the loss's gradient.

  Miyato et al., 2017, https://arxiv.org/abs/1605.07725, equations 4 and 5; the
  norm is over all positions of a text. The embeddings are not normalized, so
  epsilon is in their units.

  Args:
    losses: a function from a perturbation to the loss of each example.
    zeros_BxTxE: the initial perturbation.
    epsilon: the norm of the result.
  """
  g = jax.grad(lambda r: losses(r).sum())(zeros_BxTxE)
  return jax.lax.stop_gradient(epsilon * _unit(g))


def virtual_adversarial_perturbation(
  divergences: Callable[[jax.Array], jax.Array],
  direction_BxTxE: jax.Array,
  epsilon: float,
) -> jax.Array:
  """Returns r = epsilon g / ||g||, with g the divergence's gradient near 0.

  Miyato et al., 2017, equations 6 to 8: one step of the power iteration, from a
  random direction. The direction has random signs here; it is normal in the
  paper.

  Args:
    divergences: a function from a perturbation to the change of predictions.
    direction_BxTxE: the random direction.
    epsilon: the norm of the result.
  """
  start = _XI * _unit(direction_BxTxE)
  g = jax.grad(lambda r: divergences(r).sum())(start)
  return jax.lax.stop_gradient(epsilon * _unit(g))


def _zeros(batch: Any, embedding_size: int) -> jax.Array:
  """Returns the perturbation 0 of a batch, [B, T, E]."""
  shape = *batch['tokens'].shape, embedding_size
  return vary_like(jnp.zeros(shape, jnp.float32), batch['tokens'])


def _random_signs(
  batch: Any, zeros_BxTxE: jax.Array, keys_B: jax.Array
) -> jax.Array:
  """Returns random signs at the tokens of each text, and 0 at its padding."""
  positions = jnp.arange(batch['tokens'].shape[1])
  mask_BxT = positions < batch['lengths'][:, None]
  # Dropout turns ones into 0 or 2, so these are random signs.
  sign_keys_B = fold_keys(keys_B, Site.PERTURBATION)
  signs = dropout(zeros_BxTxE + 1, 0.5, sign_keys_B) - 1
  return jnp.where(mask_BxT[..., None], signs, 0)


def _unit(x_BxTxE: jax.Array) -> jax.Array:
  norm = jnp.sqrt(jnp.sum(x_BxTxE**2, (1, 2), keepdims=True))
  return x_BxTxE / jnp.maximum(norm, 1e-12)
