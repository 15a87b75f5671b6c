"""The examples in the docstrings run and print what they show."""

import doctest
import importlib
import pathlib
import pkgutil

import pytest

import bigru_jax

ROOT = pathlib.Path(bigru_jax.__file__).parents[1]
# Those with examples.
MODULES = [
  module.name
  for module in pkgutil.walk_packages(bigru_jax.__path__, 'bigru_jax.')
  if not module.ispkg
  and '>>> '
  in (ROOT / module.name.replace('.', '/')).with_suffix('.py').read_text()
]


def test_there_are_examples():
  assert len(MODULES) >= 8


@pytest.mark.parametrize('name', MODULES)
def test_docstring_examples_print_what_they_show(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert doctest.testmod(importlib.import_module(name)).failed == 0
