"""The compilers for devices that are not there, where they are installed."""

import importlib.util
import os
from unittest import mock

import jax
import pytest

from bigru_jax.compilation import targets

COMPILERS = {'gpu': 'jax_plugins.xla_cuda13', 'tpu': 'libtpu'}


@pytest.fixture
def compiler():
  """Returns a function that skips a test without the platform's compiler.

  In the test, XLA optimizes as it does for a user; in the others of this
  process, it optimizes little.
  """
  jax.config.update('jax_disable_most_optimizations', False)

  def require(platform):
    module = COMPILERS[platform]
    parent = module.partition('.')[0]
    if not importlib.util.find_spec(parent) or not importlib.util.find_spec(
      module
    ):
      pytest.skip(
        f'no compiler for the platform {platform}: pip install '
        f'{" ".join(targets.compiler_packages(platform))} '
        '(in a place of its own)'
      )

  variables = {'TPU_SKIP_MDS_QUERY': '1', 'ALLOW_MULTIPLE_LIBTPU_LOAD': '1'}
  with mock.patch.dict(os.environ, variables):
    yield require
  jax.config.update('jax_disable_most_optimizations', True)
