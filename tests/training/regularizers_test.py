"""The terms of the loss against their formulas on a linear model."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, rel_entr, softmax
import scipy.stats

from bigru_jax.ops.dropout import Site, dropout, example_keys, fold_keys
from bigru_jax.tasks import MultiLabel, SingleLabel
from bigru_jax.training import regularizers
from bigru_jax.training.regularizers import regularized

TASK = SingleLabel(2, 'sigmoid')
RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5)).astype(np.float32)  # [B, T, E]
W = RNG.normal(size=5).astype(np.float32)
BATCH = {
  'tokens': np.zeros((3, 4), np.int32),
  'lengths': np.array([4, 2, 3], np.int32),
  'labels': np.array([1, 0, 1], np.int32),
}
MASK = np.arange(4) < BATCH['lengths'][:, None]


def _apply(params, batch, keys_B=None, perturbation=0.0):
  """Logistic regression on the sum of a text's embedded tokens."""
  del keys_B
  mask_BxT = np.arange(4) < batch['lengths'][:, None]
  x_BxTxE = (X + perturbation) * mask_BxT[..., None]
  return types.SimpleNamespace(
    logits=x_BxTxE.sum(1) @ params[:, None],
    attention={'words': jnp.asarray(WEIGHTS)},
  )


WEIGHTS = RNG.dirichlet(np.ones(4), size=(3, 2)).astype(np.float32)


def _losses(batch=BATCH, keys_B=None, **terms):
  loss_fn = regularized(_apply, TASK, 5, **terms)
  keys_B = example_keys(0, 0, 3) if keys_B is None else keys_B
  losses, _ = loss_fn(jnp.asarray(W), batch, keys_B)
  return np.asarray(losses)


def _logits(shift=0.0):
  """The logits of all examples with their embeddings shifted by `shift` W."""
  x = (X + shift * W) * MASK[..., None]
  return x.sum(1) @ W


def _cross_entropy(logits):
  y = BATCH['labels']
  return -(y * np.log(expit(logits)) + (1 - y) * np.log(expit(-logits)))


def test_the_adversarial_loss_equals_its_formula():
  # By the embedding of each token the loss has the gradient (p - y) w.
  direction = np.sign(expit(_logits()) - BATCH['labels'])
  norm = np.linalg.norm(W) * np.sqrt(BATCH['lengths'])
  shift = (0.7 * direction / norm)[:, None, None]
  expected = _cross_entropy(_logits()) + _cross_entropy(_logits(shift))
  np.testing.assert_allclose(_losses(adversarial=0.7), expected, rtol=1e-4)


def test_the_virtual_adversarial_loss_equals_its_formula():
  # The divergence's Hessian at 0 is p (1 - p) w w^T: g is along plus or minus
  # w, whatever the random direction.
  norm = np.linalg.norm(W) * np.sqrt(BATCH['lengths'])
  p = expit(_logits())
  added = _losses(virtual_adversarial=0.7) - _cross_entropy(_logits())
  divergences = []
  for sign in (1, -1):
    q = expit(_logits((sign * 0.7 / norm)[:, None, None]))
    divergences.append(rel_entr(p, q) + rel_entr(1 - p, 1 - q))
  error = np.abs(np.stack(divergences) - added).min(0)
  assert (error < 1e-4 * added).all()


@pytest.mark.parametrize(
  'task, entropy_of',
  [
    (SingleLabel(3), lambda x: scipy.stats.entropy(softmax(x, -1), axis=-1)),
    (
      SingleLabel(2, 'sigmoid'),
      lambda x: scipy.stats.bernoulli.entropy(expit(x)).sum(-1),
    ),
    (MultiLabel(3), lambda x: scipy.stats.bernoulli.entropy(expit(x)).sum(-1)),
  ],
)
def test_the_entropy_is_that_of_scipy(task, entropy_of):
  apply, keys_B = _noisy_model(task), example_keys(0, 0, 3)
  batch = BATCH | {
    'targets': np.full((3, 3), 0.5, np.float32)[:, : task.num_classes]
  }

  def losses(params, weight):
    terms = regularized(apply, task, 5, entropy_weight=weight)
    return terms(params, batch, keys_B)[0]

  logits = np.float64(apply(1.0, batch, keys_B).logits)
  np.testing.assert_allclose(
    losses(1.0, 0.3) - losses(1.0, 0.0),
    0.3 * entropy_of(logits),
    rtol=1e-3,
    atol=1e-6,
  )
  # Its gradient makes predictions more certain.
  slope = jax.grad(lambda x: (losses(x, 1.0) - losses(x, 0.0)).sum())(1.0)
  entropies = [entropy_of(scale * logits).sum() for scale in (0.99, 1.01)]
  np.testing.assert_allclose(slope, np.diff(entropies)[0] / 0.02, rtol=1e-2)
  assert slope < 0


def test_texts_without_labels_have_the_terms_that_need_none():
  terms = {
    'virtual_adversarial': 0.5,
    'entropy_weight': 0.3,
    'language_model_weight': 0.2,
    'language_model': lambda params, batch, keys_B: (batch['lengths'], None),
  }
  texts = {
    'tokens': BATCH['tokens'],
    'lengths': np.array([1, 4, 2], np.int32),
    'weights': np.ones(3, np.float32),
  }
  batch = BATCH | {'unlabelled': texts, 'step_keys': np.zeros(3)}
  together = _losses(batch, adversarial=0.7, **terms)
  np.testing.assert_array_equal(together[:3], _losses(adversarial=0.7, **terms))
  batch = texts | {'labels': BATCH['labels']}
  keys_B = fold_keys(example_keys(0, 0, 3), Site.UNLABELLED)
  labelled = _losses(batch, keys_B, **terms) - _losses(batch)
  np.testing.assert_allclose(together[3:], labelled, rtol=1e-3)
  assert (together[3:] > 0).all()


def test_the_penalty_on_overlapping_hops_equals_its_formula():
  expected = [np.sum((a @ a.T - np.eye(2)) ** 2) for a in WEIGHTS]
  added = _losses(attention_penalty=0.3) - _cross_entropy(_logits())
  np.testing.assert_allclose(added, 0.3 * np.array(expected), rtol=1e-4)
  apart = jnp.eye(2, 4)[None]  # Each hop on a word of its own.
  assert float(regularizers.overlap(apart)[0]) == 0


def _noisy_model(task):
  """Returns a model whose logits [B, C] depend on its dropout keys."""
  w_CxE = RNG.normal(size=(task.num_outputs, 5)).astype(np.float32)

  def apply(params, batch, keys_B, perturbation=0.0):
    del batch
    x_BxE = ((X + perturbation) * MASK[..., None]).sum(1)
    logits_BxC = dropout(x_BxE, 0.4, keys_B) @ (params * w_CxE).T
    return types.SimpleNamespace(logits=logits_BxC)

  return apply


@pytest.mark.parametrize(
  'task, soft',
  [
    (SingleLabel(2, 'sigmoid'), {}),
    (SingleLabel(3, label_smoothing=0.1), {}),
    (SingleLabel(3), {'targets': RNG.dirichlet(np.ones(3), 3)}),
    (MultiLabel(3), {'labels': RNG.random((3, 3)) < 0.5}),
  ],
)
def test_r_drop_equals_its_formula(task, soft):
  apply, keys_B = _noisy_model(task), example_keys(0, 0, 3)
  batch = BATCH | soft
  losses, _ = regularized(apply, task, 5, r_drop=0.7)(1.0, batch, keys_B)
  # The two passes have other keys, so other masks.
  other_keys_B = fold_keys(keys_B, Site.SECOND_PASS)
  logits = [apply(1.0, batch, keys).logits for keys in (keys_B, other_keys_B)]
  p, q = map(np.float64, logits)
  assert not np.isclose(p, q).any()
  if task.activation.sums_to_one:
    p, q = softmax(p, -1), softmax(q, -1)
    divergences = rel_entr(p, q) + rel_entr(q, p)
  else:
    p, q = expit(p), expit(q)
    divergences = rel_entr(p, q) + rel_entr(q, p)
    divergences += rel_entr(1 - p, 1 - q) + rel_entr(1 - q, 1 - p)
  mean_losses = sum(task.losses(x, batch) for x in logits) / 2
  expected = mean_losses + 0.7 * divergences.sum(-1) / 2
  np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_the_gradient_of_r_drop_flows_through_both_passes():
  apply, keys_B = _noisy_model(TASK), example_keys(0, 0, 3)

  def total(scale, alpha):
    both = regularized(apply, TASK, 5, r_drop=alpha)
    return both(scale, BATCH, keys_B)[0].sum()

  gradient = jax.grad(total)(1.0, 0.7)
  slope = (total(1.01, 0.7) - total(0.99, 0.7)) / 0.02
  np.testing.assert_allclose(gradient, slope, rtol=1e-2)


@pytest.mark.parametrize(
  'task, soft',
  [
    (SingleLabel(2, 'sigmoid'), {}),
    (
      SingleLabel(3, 'focal', label_smoothing=0.1),
      {'targets': RNG.dirichlet(np.ones(3), 7)},
    ),
    (MultiLabel(3, label_weights=(1, 2, 3)), {'labels': RNG.random((7, 3))}),
  ],
)
def test_mixup_is_the_loss_of_mixed_texts_with_mixed_labels(task, soft):
  logits = RNG.normal(size=(7, task.num_outputs)).astype(np.float32)
  labels = RNG.integers(task.num_classes, size=7)
  weights = np.array([1, 2, 0.5, 3, 1, 0, 2], np.float32)
  batch = jax.tree.map(
    jnp.asarray, {'labels': labels, 'weights': weights, **soft}
  )

  def apply(params, batch, keys_B):
    del batch, keys_B
    return types.SimpleNamespace(logits=params)

  mixed = regularized(apply, task, 5, mixup=0.4)
  keys_B = example_keys(0, 0, 7)
  losses, outputs = mixed(logits, batch, keys_B)
  assert outputs.logits is logits  # They are not mixed.
  shares = np.asarray(regularizers._shares(keys_B, 0.4))
  targets = np.eye(task.num_classes)[labels]
  targets = soft.get('targets', soft.get('labels', targets))
  name = 'labels' if 'labels' in soft else 'targets'
  total = 0.0
  for i in range(7):
    # The second of the third pair has no weight; the seventh text is alone.
    j = i ^ 1 if i < 4 else i
    share = shares[min(i, j)]
    x = share * logits[i] + (1 - share) * logits[j]
    for index, part in ((i, share), (j, 1 - share)):
      of_label = {**batch, name: targets[index : index + 1]}
      total += part * weights[index] * task.losses(x[None], of_label)[0]
    if weights[i] == weights[j]:  # Not a pair: the loss of the text alone.
      alone = task.losses(logits[i : i + 1], {**batch, name: targets[[i]]})
      np.testing.assert_allclose(losses[i], alone[0], rtol=1e-5)
  np.testing.assert_allclose(np.sum(losses * weights), total, rtol=1e-5)


def test_the_shares_of_mixup_have_their_distribution():
  shares, repeated, of_next_step = (
    np.asarray(regularizers._shares(example_keys(0, step, 2000), 0.4))
    for step in (3, 3, 4)
  )
  np.testing.assert_array_equal(shares, repeated)
  assert (shares != of_next_step).all()
  assert (
    scipy.stats.kstest(shares, scipy.stats.beta(0.4, 0.4).cdf).pvalue > 0.01
  )


def test_other_terms_are_added_to_the_loss_of_two_passes():
  apply, keys_B = _noisy_model(TASK), example_keys(0, 0, 3)

  def losses(**terms):
    return regularized(apply, TASK, 5, **terms)(1.0, BATCH, keys_B)[0]

  np.testing.assert_allclose(
    losses(r_drop=0.7, adversarial=0.5) - losses(r_drop=0.7),
    losses(adversarial=0.5) - losses(),
    rtol=1e-4,
  )


TERMS = (
  'adversarial', 'virtual_adversarial', 'attention_penalty', 'entropy_weight',
)  # fmt: skip


def test_all_terms_are_added():
  alone = [_losses(**{name: 0.5}) for name in TERMS]
  together = _losses(**dict.fromkeys(TERMS, 0.5))
  plain = _cross_entropy(_logits())
  np.testing.assert_allclose(
    together - plain, sum(alone) - len(TERMS) * plain, rtol=1e-4
  )


@pytest.mark.parametrize('epsilon', [1.0, 3.0])
def test_the_perturbations_have_the_norm_epsilon(epsilon):
  def losses(r):
    logits = _apply(jnp.asarray(W), BATCH, perturbation=r).logits
    return TASK.losses(logits, BATCH)

  zeros = jnp.zeros(X.shape)
  r = regularizers.adversarial_perturbation(losses, zeros, epsilon)
  np.testing.assert_allclose(jnp.sqrt((r**2).sum((1, 2))), epsilon, rtol=1e-5)
  assert not np.asarray(r)[~MASK].any()
  # The direction raises the loss of every example.
  assert (losses(r) > losses(zeros)).all()


def test_no_gradient_flows_through_the_perturbation():
  loss_fn = regularized(_apply, TASK, 5, adversarial=0.7)

  def total(w):
    return loss_fn(w, BATCH, example_keys(0, 0, 3))[0].sum()

  gradient = jax.grad(total)(jnp.asarray(W))
  direction = np.sign(expit(_logits()) - BATCH['labels'])
  norm = np.linalg.norm(W) * np.sqrt(BATCH['lengths'])
  r = (0.7 * direction / norm)[:, None, None] * W * MASK[..., None]
  clean = (X * MASK[..., None]).sum(1)
  expected = 0
  for x in (clean, clean + r.sum(1)):
    expected = expected + (expit(x @ W) - BATCH['labels']) @ x
  np.testing.assert_allclose(gradient, expected, rtol=1e-4)
