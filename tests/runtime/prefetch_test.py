"""Prefetching keeps order and passes errors on."""

import pytest

from bigru_jax.runtime.prefetch import prefetch


def test_prefetch_keeps_order_and_passes_errors_on():
  assert list(prefetch(iter(range(20)), size=2)) == list(range(20))

  def failing():
    yield 1
    raise OSError('gone')

  with pytest.raises(OSError, match='gone'):
    list(prefetch(failing()))
