"""The jitted step: the mesh, class weights and what padding may not do."""

import jax
import numpy as np
import pytest

from bigru_jax import sharding, steps, training
from bigru_jax.config import Config
from bigru_jax.data import batching, text

CONFIG = Config(
  embedding_size=8, hidden_size=6, batch_size=8, epochs=1, dropout=0.5,
  embedding_dropout=0.5, recurrent_dropout=0.3,
)  # fmt: skip


def _split(count=20, seed=0):
  rng = np.random.default_rng(seed)
  lengths = rng.choice([2, 6], count)
  tokens = rng.integers(1, 20, lengths.sum()).astype(np.int32)
  offsets = np.concatenate([[0], np.cumsum(lengths)])
  labels = rng.integers(0, 3, count).astype(np.int32)
  buckets = batching.choose_buckets(lengths)
  return training.Split(text.Encoded(tokens, offsets, 0), labels, buckets)


def make_trainer(mesh, config=CONFIG):
  split = _split()
  model = steps.make_model(config, 20, 3)
  params = steps.init_params(model, config.seed)
  splits = {'train': split, 'validation': split}
  return training.Trainer(config, mesh, params, model.apply, splits, 3)


def test_the_number_of_devices_does_not_matter():
  results = []
  for count in (1, 2, 4):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), ('data',))
    trainer = make_trainer(mesh)
    trained = trainer.train_epoch(1)
    results.append((trained['loss'], trainer.evaluate('validation'),
                    jax.device_get(trainer.state.params)))  # fmt: skip
  (loss, found, params), *others = results
  assert found['examples'] == 20
  for loss_n, found_n, params_n in others:
    assert np.isclose(loss, loss_n, rtol=1e-5)
    assert np.isclose(found['loss'], found_n['loss'], rtol=1e-5)
    assert found_n['examples'] == 20
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params, params_n
    )


def test_the_padding_vector_stays_zero_in_training():
  trainer = make_trainer(sharding.make_mesh(8))
  before = np.asarray(trainer.state.params['embedding'])
  trainer.train_epoch(1)
  after = np.asarray(trainer.state.params['embedding'])
  np.testing.assert_array_equal(after[0], 0)
  assert not np.allclose(after[1:], before[1:])


def test_a_batch_that_the_devices_do_not_divide():
  with pytest.raises(ValueError, match='--batch_size=6 is not a multiple of'):
    sharding.make_mesh(6)


def test_class_weights():
  labels = np.array([0, 0, 0, 1])
  np.testing.assert_allclose(
    steps.class_weights('balanced', labels, 2), [2 / 3, 2]
  )
  np.testing.assert_array_equal(
    steps.class_weights('1,2.5', labels, 2), [1, 2.5]
  )
  np.testing.assert_array_equal(steps.class_weights('', labels, 2), 1)
  for bad in ('1', '1,x', '1,-1', 'ballanced'):
    with pytest.raises(ValueError, match='--class_weights'):
      steps.class_weights(bad, labels, 2)


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted():
  trainer = make_trainer(sharding.make_mesh(8))
  trainer.train_epoch(1)
  kernel = trainer.state.params['output']['kernel']
  broken = {**trainer.state.params['output'], 'kernel': kernel * np.inf}
  trainer.state = sharding.place_state(
    trainer.state.replace(params={**trainer.state.params, 'output': broken}),
    trainer.mesh,
  )
  before = jax.device_get((trainer.state.params, trainer.state.opt_state))
  trained = trainer.train_epoch(2)
  assert trained['skipped_steps'] == trainer.steps_per_epoch
  after = jax.device_get((trainer.state.params, trainer.state.opt_state))
  jax.tree.map(np.testing.assert_array_equal, before, after)
  with pytest.raises(ValueError, match='--max_bad_steps=10: .* up to step 1'):
    for epoch in range(3, 9):
      trainer.train_epoch(epoch)
