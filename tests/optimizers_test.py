"""The optimizers against Adam's formulas, and the parameters they exclude."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bigru_jax import optimizers


@pytest.mark.parametrize('kind', ['adam', 'adamw'])
def test_the_first_three_steps_equal_adams(kind):
  rng = np.random.default_rng(0)
  theta = rng.normal(size=(3, 2))
  grads = rng.normal(size=(3, 3, 2))
  rate, decay = 0.01, 0.1 if kind == 'adamw' else 0.0
  optimizer = optimizers.make_optimizer(kind, rate, 0.1)
  params = {'kernel': jnp.asarray(theta, jnp.float32)}
  state = optimizer.init(params)
  m = v = np.zeros_like(theta)
  for t, g in enumerate(grads, 1):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    mhat, vhat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    theta = theta - rate * (mhat / (np.sqrt(vhat) + 1e-8) + decay * theta)
    updates, state = optimizer.update(
      {'kernel': jnp.asarray(g, jnp.float32)}, state, params
    )
    params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params['kernel'], theta, atol=1e-6)


def test_biases_do_not_decay():
  params = {'a': {'input_kernel_0': 1, 'bias': 1, 'recurrent_bias_0': 1}}
  assert optimizers.decayed(params) == {
    'a': {'input_kernel_0': True, 'bias': False, 'recurrent_bias_0': False}
  }


def test_frozen_embeddings_stay():
  params = {'embedding': jnp.ones((3, 2)), 'out': {'kernel': jnp.ones((2, 2))}}
  optimizer = optimizers.make_optimizer(freeze_embeddings=True)
  updates, _ = optimizer.update(params, optimizer.init(params), params)
  assert not updates['embedding'].any()
  assert updates['out']['kernel'].all()


@pytest.mark.parametrize('kind', list(optimizers.OPTIMIZERS))
def test_columns_stay_and_others_train_as_if_there_were_no_more(kind):
  key = jax.random.key(0)
  whole = {'embedding': jax.random.normal(key, (3, 4)), 'bias': jnp.ones(2)}
  rest = {**whole, 'embedding': whole['embedding'][:, jnp.array([0, 3])]}
  frozen = {'frozen_columns': ((1, 2), (2, 3))}
  updates = []
  for params, options in ((whole, frozen), (rest, {})):
    # The norm is clipped, so it must not count the frozen columns.
    optimizer = optimizers.make_optimizer(kind, clip_norm=0.1, **options)
    update, _ = optimizer.update(params, optimizer.init(params), params)
    updates.append(update)
  of_whole, of_rest = updates
  assert not of_whole['embedding'][:, 1:3].any()
  np.testing.assert_array_equal(
    of_whole['embedding'][:, jnp.array([0, 3])], of_rest['embedding']
  )
  np.testing.assert_array_equal(of_whole['bias'], of_rest['bias'])


def test_words_unseen_in_training_stay_as_they_are():
  params = {'embedding': jnp.ones((3, 2)), 'out': {'kernel': jnp.ones((2, 2))}}
  grads = jax.tree.map(jnp.zeros_like, params)  # Weight decay alone.
  optimizer = optimizers.make_optimizer(num_trained_words=2)
  updates, _ = optimizer.update(grads, optimizer.init(params), params)
  assert updates['embedding'][:2].all() and updates['out']['kernel'].all()
  assert not updates['embedding'][2:].any()


@pytest.mark.parametrize('kind', list(optimizers.OPTIMIZERS))
@pytest.mark.parametrize('freeze_embeddings', [False, True])
def test_parts_of_the_model_have_their_own_learning_rates(
  kind, freeze_embeddings
):
  params = {
    'embedding': jnp.ones((3, 2)),
    'encoder': {'kernel': jnp.ones((2, 2)), 'bias': jnp.ones(2)},
    'out': {'kernel': jnp.ones((2, 2))},
  }
  updates_by_factors = []
  for factors in ({}, {'embedding': 0.1, 'encoder': 0.5, 'absent': 0.2}):
    optimizer = optimizers.make_optimizer(
      kind,
      0.5,
      learning_rate_factors=factors,
      freeze_embeddings=freeze_embeddings,
    )
    state = optimizer.init(params)
    for _ in range(2):
      updates, state = optimizer.update(params, state, params)
    updates_by_factors.append(updates)
  plain, scaled = updates_by_factors
  assert plain['embedding'].any() != freeze_embeddings
  for name, factor in (('embedding', 0.1), ('encoder', 0.5), ('out', 1.0)):
    jax.tree.map(
      lambda x, y, factor=factor: np.testing.assert_allclose(
        x, factor * y, rtol=1e-6
      ),
      scaled[name],
      plain[name],
    )


def test_schedules_rise_and_fall():
  cosine = optimizers.make_schedule('cosine', 1.0, 0.1, 100)
  assert cosine(0) == 0 and cosine(10) == 1 and cosine(100) < 1e-6
  assert np.isclose(cosine(55), 0.5)
  linear = optimizers.make_schedule('linear', 1.0, 0.0, 100)
  assert linear(0) == 1 and np.isclose(linear(25), 0.75)
  assert optimizers.make_schedule('constant', 1.0, 0.0, 100)(99) == 1


def test_clipping_limits_the_global_norm():
  optimizer = optimizers.make_optimizer('sgd', 1.0, clip_norm=1.0)
  params = {'kernel': jnp.zeros(2)}
  grads = {'kernel': jnp.array([30.0, 40.0])}
  updates, _ = optimizer.update(grads, optimizer.init(params), params)
  np.testing.assert_allclose(updates['kernel'], [-0.6, -0.8], rtol=1e-6)
