"""Attributions of every kind of model, against texts changed by hand."""

import jax
import numpy as np
import pytest

from bigru_jax.data.encode import make_split
from bigru_jax.data.ragged import pack
from bigru_jax.explain import attributions, choice
from bigru_jax.explain.attributions import PAGE_METHODS, integrated_gradients
from bigru_jax.explain.predictions import (
  make_trained,
  over_split,
)
from bigru_jax.models.build import init_params
from bigru_jax.models.classifier import Classifier
from bigru_jax.models.hierarchical import HierarchicalClassifier
from bigru_jax.tasks import MultiLabel, SingleLabel

# Sentences of documents; a flat model reads their words without a boundary.
DOCUMENTS = [
  [[4, 5, 6], [7, 3]], [[8]], [[9, 4], [2], [5, 5, 4]], [[6, 2]],
]  # fmt: skip
MODELS = {
  'additive': (Classifier, {}, SingleLabel(3)),
  'multi_head': (Classifier, {'pooling': 'multi_head'}, SingleLabel(2)),
  'one output': (Classifier, {}, SingleLabel(2, 'sigmoid')),
  'last': (Classifier, {'pooling': 'last'}, SingleLabel(2)),
  'max': (Classifier, {'pooling': 'max'}, MultiLabel(3)),
  'label-wise': (Classifier, {'pooling': 'label_wise'}, MultiLabel(3)),
  'many labels': (Classifier, {'pooling': 'label_wise'}, MultiLabel(20)),
  'one of many': (Classifier, {'pooling': 'label_wise'}, SingleLabel(20)),
  'hierarchical': (HierarchicalClassifier, {}, SingleLabel(3)),
  'hierarchical structured': (
    HierarchicalClassifier, {'pooling': 'structured', 'num_heads': 2},
    MultiLabel(3),
  ),
  'hierarchical last': (
    HierarchicalClassifier, {'pooling': 'last'}, SingleLabel(2)
  ),
}  # fmt: skip


def _parameters():
  """The models, of which two are compiled by default."""
  for name in MODELS:
    slow = name not in ('many labels', 'hierarchical structured')
    yield pytest.param(name, marks=[pytest.mark.slow] if slow else [])


@pytest.fixture(scope='module', params=_parameters())
def trained(request):
  kind, options, task = MODELS[request.param]
  return _make(kind, options, task)


def _make(kind, options, task):
  model = kind(10, task.num_outputs, 4, 4, **options)
  params = jax.tree.map(lambda x: 3 * x, init_params(model, 0))
  return make_trained(model, task, params)


def _split(trained, documents):
  is_flat = isinstance(trained.model, Classifier)
  lengths = [[len(x) for x in document] for document in documents]
  return make_split(
    pack([sum(document, []) for document in documents]),
    np.zeros(len(documents), np.int32),
    0,
    None if is_flat else pack(lengths),
  )


@jax.jit
def _explain(trained, batch, key):
  """All that this file tests, in one program."""
  del key
  probabilities_BxC = trained.probabilities(batch)
  classes_B = trained.classes(probabilities_BxC)
  inputs = trained, batch, classes_B
  names = attributions.methods_of(trained.model.pooling)
  results = {name: attributions.ATTRIBUTIONS[name](*inputs) for name in names}
  x = attributions._embedded(trained, batch)
  empty = attributions._score(*inputs, perturbation=-x)
  results['difference'] = attributions._score(*inputs) - empty
  return results | {
    'error': integrated_gradients(*inputs)[1],
    'probabilities': probabilities_BxC[..., None],
    'classes': classes_B,
  }


@jax.jit
def _predict(trained, batch, key):
  del key
  return {'probabilities': trained.probabilities(batch)[..., None]}


def _without(document, position):
  """The document without one word, and without the sentence if it was alone."""
  left, start = [], 0
  for sentence in document:
    at = position - start
    start += len(sentence)
    words = [x for i, x in enumerate(sentence) if i != at]
    left += [words] if words else []
  return left


@pytest.fixture(scope='module')
def explained(trained):
  return over_split(_explain, trained, _split(trained, DOCUMENTS), 8)


def test_each_token_has_a_weight(trained, explained):
  for name in attributions.methods_of(trained.model.pooling):
    sizes = [len(weights) for weights in explained[name]]
    assert sizes == [sum(map(len, x)) for x in DOCUMENTS]
    assert all(np.any(weights) for weights in explained[name])


def test_leave_one_out_is_the_drop_without_the_token(trained, explained):
  for i, document in enumerate(DOCUMENTS):
    count = sum(map(len, document))
    if count == 1:
      continue
    parts = [_without(document, t) for t in range(count)]
    results = over_split(_predict, trained, _split(trained, parts), 8)
    c = explained['classes'][i]
    drops = (
      explained['probabilities'][i][c, 0]
      - np.array(results['probabilities'])[:, c, 0]
    )
    np.testing.assert_allclose(explained['leave_one_out'][i], drops, atol=1e-5)


def test_integrated_gradients_are_complete(trained, explained):
  # The integrand of a maximum has kinks, at which the quadrature is less exact.
  tolerance = 0.02 if trained.model.pooling == 'max' else 2e-3
  for weights, difference, error in zip(
    *(explained[x] for x in ('integrated_gradients', 'difference', 'error'))
  ):
    missed = abs(weights.sum() - difference)
    assert missed < tolerance
    assert error == pytest.approx(missed, abs=1e-4)


def test_the_choice_compares_the_attributions_of_documents():
  trained = _make(*MODELS['hierarchical'])
  split = _split(trained, DOCUMENTS)
  chosen = choice.choose(trained, split, PAGE_METHODS)
  assert [row['name'] for row in chosen.table] == [*PAGE_METHODS, 'random']
  assert all(np.isfinite(x['sufficiency']['value']) for x in chosen.table)
