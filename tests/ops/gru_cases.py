"""Comparisons of implementations of the GRU, for the tests of this folder."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from bigru_jax import parallel
from bigru_jax.ops import gru_reference
from bigru_jax.ops.gru import GRUParams, bidirectional_gru

# T = 1, B = 1, an empty example, E above 4 H, and H beside a whole number of
# vectors.
EDGES = pytest.mark.parametrize(
  'shape', [(1, 1, 1, 1), (3, 2, 70, 15), (9, 4, 20, 33)]
)


# The tolerated differences of a kernel. Those in bfloat16 are five standard
# deviations of the roundings of two factors, to 8 bits each, in each of the two
# sums on the way to a gradient; `kernel_test.h` derives them.
KERNEL_TOLERANCES = {'float32': 1e-5, 'bfloat16': 4 * 2**-8}


def equal_the_reference(
  runs, shape, masked, dtype=jnp.float32, tolerance=1e-5, seed=0
):
  """Compares states, final states and gradients, on a ragged mask.

  The reference computes in float32, on the same numbers.
  """
  batch, time, features, hidden = shape
  rng = np.random.default_rng(seed)

  def draw(*shape):
    scale = shape[-1] ** -0.5 if len(shape) == 3 else 0.5
    return jnp.asarray(rng.normal(size=shape) * scale, dtype)

  lengths = rng.integers(0, time + 1, batch)
  lengths[1:2] = 0
  mask = jnp.arange(time) < lengths[:, None]
  arguments = (
    draw(batch, time, features),
    GRUParams(
      draw(2, 3 * hidden, features),
      draw(2, 3 * hidden, hidden),
      draw(2, 3 * hidden),
      draw(2, hidden),
    ),
    draw(2, batch, hidden),
    jnp.abs(draw(2, batch, hidden)) if masked else None,
  )
  d_states, d_final = draw(batch, time, 2 * hidden), draw(2, batch, hidden)

  def outputs(run):
    return jax.jit(lambda x, *others: run(x, mask, *others))(*arguments)

  def with_gradients(run):
    def loss(x, *others):
      h, final = run(x, mask, *others)
      terms = (h * d_states).sum() + (final * d_final).sum()
      return terms.astype(jnp.float32), (h, final)

    differentiate = jax.grad(loss, argnums=(0, 1, 2, 3), has_aux=True)
    return jax.jit(lambda *arguments: differentiate(*arguments)[::-1])

  reference = with_gradients(gru_reference.bidirectional_gru)
  exact = in_dtype(arguments, jnp.float32)
  expected = reference(*exact)
  changes = _changes(reference, exact, float(jnp.finfo(dtype).eps) / 2, rng)
  for run in runs:
    # With and without gradients it is another loop.
    for ours in (with_gradients(run)(*arguments), (outputs(run),)):
      are_close(ours, expected[: len(ours)], tolerance, changes[: len(ours)])


def _changes(function, arguments, epsilon, rng):
  """Returns the largest changes of results when all arguments are rounded.

  Args:
    function: the function, of pytrees.
    arguments: its exact arguments.
    epsilon: the relative error of a rounded number.
    rng: the generator of the errors' signs.
  """
  # In NumPy, because JAX would compile each operation for each shape.
  arguments = jax.tree.map(np.asarray, arguments)
  results = jax.tree.map(np.asarray, function(*arguments))

  def rounded(array):
    signs = rng.choice([-1, 1], size=array.shape)
    return array * np.float32(1 + epsilon * signs)

  changes = [
    jax.tree.map(
      lambda x, y: np.abs(x - y).max(),
      jax.tree.map(np.asarray, function(*jax.tree.map(rounded, arguments))),
      results,
    )
    for _ in range(4)
  ]
  return jax.tree.map(max, *changes)


def in_dtype(arrays, dtype):
  """Returns a pytree's arrays in another dtype."""
  return jax.tree.map(lambda array: array.astype(dtype), arrays)


def are_close(ours, expected, tolerance, changes=None):
  """Compares two pytrees, relative to the largest value of each array.

  Args:
    ours, expected: the pytrees.
    tolerance: the largest difference, relative to that value and 1.
    changes: see `_changes`. Ten times as much is tolerated, since gates, states
      and their gradients are rounded too; it is more than the tolerance only
      where the recurrence of a few units makes roundings grow.
  """
  zeros = jax.tree.map(lambda _: 0.0, expected)
  trees = ours, expected, zeros if changes is None else changes
  for array, wanted, change in zip(*map(jax.tree.leaves, trees), strict=True):
    wanted = np.asarray(wanted, np.float32)
    np.testing.assert_allclose(
      np.asarray(array, np.float32),
      wanted,
      atol=max(tolerance * (1 + np.abs(wanted).max()), 10 * change),
    )


def small_layer():
  """Inputs, a ragged mask and parameters."""
  rng = np.random.default_rng(1)

  def draw(*shape):
    return jnp.asarray(rng.normal(size=shape) * 0.5, jnp.float32)

  x = draw(4, 5, 3)
  mask = np.arange(5) < np.array([5, 2, 3, 4])[:, None]
  params = GRUParams(draw(2, 12, 3), draw(2, 12, 4), draw(2, 12), draw(2, 4))
  return x, mask, params


def sum_of_squares(params, x, mask, implementation=None):
  """A loss of the states."""
  h, _ = bidirectional_gru(x, mask, params, implementation=implementation)
  return jnp.sum(h**2)


TRANSFORMS = 'jit', 'remat', 'vmap', 'shard_map'


def check_transformed_gradient(transform, implementation, dtype='float32'):
  """Compares a transformed gradient with that of the default."""
  x, mask, params = small_layer()
  x, params = in_dtype((x, params), dtype)

  def loss(params, x, mask):
    return sum_of_squares(params, x, mask, implementation)

  expected = jax.jit(jax.grad(sum_of_squares))(params, x, mask)
  mesh = parallel.make_mesh(batch_size=4)
  if transform == 'jit':
    grad = jax.jit(jax.grad(loss))
  elif transform == 'remat':
    grad = jax.jit(jax.grad(jax.remat(loss)))
  elif transform == 'vmap':
    grad = jax.grad(
      lambda params, x, mask: jax.vmap(
        lambda x, mask: loss(params, x[None], mask[None])
      )(x, mask).sum()
    )
  else:
    x, mask = parallel.place_batch((x, mask), mesh)
    grad = jax.jit(
      jax.grad(
        jax.shard_map(
          lambda *args: jax.lax.psum(loss(*args), parallel.DATA_AXIS),
          mesh=mesh,
          in_specs=(P(), P(parallel.DATA_AXIS), P(parallel.DATA_AXIS)),
          out_specs=P(),
        )
      )
    )
  are_close(grad(params, x, mask), expected, KERNEL_TOLERANCES[dtype])


def check_second_derivatives(implementation, dtype=jnp.float32, tolerance=1e-5):
  """Compares the second derivatives by all arguments with the reference.

  The reference computes in float32, on the same numbers.
  """
  x, mask, params = small_layer()
  start = 0.5 * x.reshape(-1)[:32].reshape(2, 4, 4)

  def penalty(params, x, initial_state, recurrent_mask, implementation):
    """The squared norm of the gradient of a loss by all arguments."""

    def loss(params, x, initial_state, recurrent_mask):
      h, final = bidirectional_gru(
        x,
        mask,
        params,
        initial_state=initial_state,
        recurrent_mask=recurrent_mask,
        implementation=implementation,
      )
      return jnp.sum(h**2) + jnp.sum(final**3)

    gradients = jax.grad(loss, argnums=(0, 1, 2, 3))(
      params, x, initial_state, recurrent_mask
    )
    return sum(jnp.sum(g**2) for g in jax.tree.leaves(gradients))

  differentiate = jax.jit(
    jax.grad(penalty, argnums=(0, 1, 2, 3)), static_argnums=4
  )
  arguments = in_dtype((params, x, start, 1 + start), dtype)
  ours = differentiate(*arguments, implementation)
  arguments = in_dtype(arguments, jnp.float32)
  are_close(ours, differentiate(*arguments, 'reference'), tolerance)
