"""The C++ function of AdamW against optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bigru_jax.ops import adamw, cpu

pytestmark = pytest.mark.skipif(
  not cpu.instruction_sets(), reason='the kernels are not compiled'
)
SHAPES = (), (3,), (5, 7), (2, 70_000)  # The last one has several spans.


def _random(rng, scale):
  return [
    jnp.asarray(scale * rng.standard_normal(shape), jnp.float32)
    for shape in SHAPES
  ]


@pytest.mark.parametrize('instruction_set', cpu.instruction_sets())
def test_each_of_many_steps_equals_optaxs(instruction_set):
  rng = np.random.default_rng(0)
  optimizer = optax.adamw(3e-3, b1=0.8, b2=0.95, eps=1e-6, weight_decay=0.1)
  params = _random(rng, 0.5)
  state = optimizer.init(params)

  @jax.jit
  def ours(step, grads, params, mu, nu):
    return adamw.adamw(
      params,
      grads,
      mu,
      nu,
      finite=jnp.bool_(True),
      step=step,
      clip=0.5,
      rates=[3e-3] * len(SHAPES),
      decays=[0.1] * len(SHAPES),
      num_trained=[x.size for x in params],
      b1=0.8,
      b2=0.95,
      eps=1e-6,
      instruction_set=instruction_set,
    )

  for step in range(1, 21):
    grads = _random(rng, 10.0 ** rng.integers(-4, 2))
    results = ours(jnp.int32(step), grads, params, state[0].mu, state[0].nu)
    halves = jax.tree.map(lambda g: 0.5 * g, grads)
    updates, state = optimizer.update(halves, state, params)
    params = optax.apply_updates(params, updates)
    expected = params, state[0].mu, state[0].nu
    for x, y in zip(jax.tree.leaves(results), jax.tree.leaves(expected)):
      tolerance = 1e-7 * float(jnp.abs(y).max())
      np.testing.assert_allclose(x, y, rtol=1e-7, atol=tolerance)


def test_wrong_shapes_are_said():
  one, two = [jnp.ones(1)], [jnp.ones(2)]
  with pytest.raises(jax.errors.JaxRuntimeError, match=r'mu is \[2\].*\[1\]'):
    jax.block_until_ready(
      adamw.adamw(
        one,
        one,
        two,
        one,
        finite=jnp.bool_(True),
        step=jnp.int32(1),
        rates=[1.0],
        decays=[0.0],
        num_trained=[1],
      )
    )
