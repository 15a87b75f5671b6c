"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import bigru_jax

MODULES = [
  module.name
  for module in pkgutil.walk_packages(bigru_jax.__path__, 'bigru_jax.')
]


def test_there_are_examples():
  finder = doctest.DocTestFinder()
  examples = [
    test.name
    for name in MODULES
    for test in finder.find(importlib.import_module(name))
    if test.examples
  ]
  assert len(examples) >= 8


@pytest.mark.parametrize('name', MODULES)
def test_examples(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert doctest.testmod(importlib.import_module(name)).failed == 0
