"""The Pallas kernels of the GRU, interpreted, against the reference."""

import functools

from gru_cases import (
  EDGES,
  TRANSFORMS,
  check_second_derivatives,
  check_transformed_gradient,
  equal_the_reference,
  small_layer,
)
import jax.numpy as jnp
import numpy as np
import pytest

from bigru_jax.ops import gru, gru_pallas
from bigru_jax.ops.gru import bidirectional_gru

# The kernels for a TPU and for a GPU; interpreting them takes long.
PALLAS = {
  'tpu': functools.partial(gru_pallas.run, gru_pallas.on_tpu, interpret=True),
  'gpu': functools.partial(gru_pallas.run, gru_pallas.on_gpu, interpret=True),
}


@pytest.mark.parametrize('chip', PALLAS)
def test_the_pallas_kernels_equal_the_reference(chip):
  # On a TPU two blocks of steps, on a GPU two blocks of the batch.
  equal_the_reference([PALLAS[chip]], (20, 10, 3, 20), True)


@pytest.mark.slow
@pytest.mark.parametrize('chip', PALLAS)
@pytest.mark.parametrize('masked', [False, True])
@EDGES
def test_the_pallas_kernels_equal_the_reference_at_edges(chip, masked, shape):
  equal_the_reference([PALLAS[chip]], shape, masked)
  equal_the_reference([PALLAS[chip]], shape, masked, jnp.bfloat16, 0.1)


@pytest.fixture
def interpreted_pallas(monkeypatch):
  monkeypatch.setitem(gru.IMPLEMENTATIONS, 'pallas', PALLAS['gpu'])


@pytest.mark.parametrize(
  'launch, time, batch, hidden, dtype, expected',
  [
    (gru_pallas.on_tpu, 24, 64, 100, 'float32', (8, 64, 128)),
    (gru_pallas.on_tpu, 22, 1024, 128, 'bfloat16', (2, 256, 128)),
    (gru_pallas.on_tpu, 24, 64, 512, 'float32', (8, 16, 512)),
    (gru_pallas.on_tpu, 24, 64, 1024, 'bfloat16', None),
    (gru_pallas.on_gpu, 22, 64, 100, 'bfloat16', (22, 16, 128)),
    (gru_pallas.on_gpu, 22, 64, 64, 'float32', (22, 16, 64)),
    (gru_pallas.on_gpu, 22, 64, 128, 'float32', None),
    (gru_pallas.on_gpu, 22, 64, 129, 'bfloat16', None),
  ],
)
def test_blocks_fit_on_the_chip(launch, time, batch, hidden, dtype, expected):
  result = launch(time, batch, hidden, dtype)
  assert (result and result[:3]) == expected


def test_without_a_chip_or_room_on_it_pallas_is_scan():
  x, mask, params = small_layer()
  expected = bidirectional_gru(x, mask, params, implementation='scan')

  def refused(*sizes):
    return None

  for run in (
    functools.partial(bidirectional_gru, implementation='pallas'),
    lambda *arrays: gru_pallas.run(refused, *arrays, jnp.zeros((2, 4, 4))),
  ):
    for ours, theirs in zip(run(x, mask, params), expected):
      np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.usefixtures('interpreted_pallas')
@pytest.mark.parametrize('transform', TRANSFORMS)
def test_the_gradient_composes_with_transformations(transform):
  if transform == 'shard_map':
    pytest.skip('JAX does not interpret kernels in shard_map; it compiles them')
  check_transformed_gradient(transform, 'pallas')


@pytest.mark.slow
@pytest.mark.usefixtures('interpreted_pallas')
def test_second_derivatives_equal_those_of_the_reference():
  check_second_derivatives('pallas')
