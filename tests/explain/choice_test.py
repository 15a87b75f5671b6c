"""The choice of an attribution, against its tests computed text by text."""

import jax
import numpy as np
import pytest
from small_models import TEXTS, make_batch, make_model

from bigru_jax.data.encode import make_split
from bigru_jax.data.ragged import pack
from bigru_jax.explain import attributions, choice, choice_in_words
from bigru_jax.explain.attributions import PAGE_METHODS
from bigru_jax.explain.faithfulness import erasure
from bigru_jax.explain.predictions import make_trained


@pytest.fixture(scope='module')
def trained():
  return make_model()


def _split(texts=TEXTS):
  return make_split(pack(texts), np.zeros(len(texts), np.int32), 2)


def _tests_of(method):
  """A compiled function that tests a method on a batch."""

  @jax.jit
  def tests_of(trained, batch):
    classes = trained.classes(trained.probabilities(batch))
    weights = method(trained, batch, classes)
    return erasure(trained, batch, classes, weights[None])

  return tests_of


def test_the_choice_has_the_largest_difference_of_both_tests(trained):
  chosen = choice.choose(trained, _split(), PAGE_METHODS)
  rows = {row['name']: row for row in chosen.table}
  assert list(rows) == [*PAGE_METHODS, 'random'] and chosen.texts == len(TEXTS)
  differences = {}
  for name in PAGE_METHODS:
    tests_of, of_texts = _tests_of(attributions.ATTRIBUTIONS[name]), []
    for text in TEXTS:
      batch = make_batch([text])
      of_texts.append(tests_of(trained, batch))
    tests = np.array(of_texts).reshape(len(TEXTS), 2).mean(0)
    values = [
      rows[name][test]['value'] for test in ('comprehensiveness', 'sufficiency')
    ]
    np.testing.assert_allclose(values, tests, atol=1e-5)
    differences[name] = tests[0] - tests[1]
  assert differences[chosen.method] >= max(differences.values()) - 1e-6
  random = rows['random']
  beyond = differences['attention'] - (
    random['comprehensiveness']['value'] - random['sufficiency']['value']
  )
  np.testing.assert_allclose(
    rows['attention']['above_random']['value'], beyond, atol=1e-5
  )


def test_what_is_compiled_ahead_is_not_compiled_again(trained, caplog):
  def compiled():
    names = [
      name
      for name in ('_attributions', '_erase')
      for message in caplog.messages
      if f'XLA compilation of jit({name})' in message
    ]
    caplog.clear()
    return names

  split, methods = _split([[2, 3]] * 5), ('attention',)
  model, task, params = trained.model, trained.task, trained.params
  abstract = make_trained(model, task, jax.eval_shape(lambda: params))
  with jax.log_compiles():
    choice.compile_ahead(abstract, split, methods)
    assert compiled() == ['_attributions', '_erase']
    choice.choose(make_trained(model, task, params), split, methods)
    assert compiled() == []


def test_a_model_that_ignores_its_texts_has_no_faithful_attribution(trained):
  constant = trained.replace(params=jax.tree.map(np.zeros_like, trained.params))
  chosen = choice.choose(constant, _split(), PAGE_METHODS)
  assert 'no way of shading explained' in chosen.sentence
  assert 'on 3 texts of the validation set' in chosen.sentence.lower()


def test_the_sentence_names_what_was_measured():
  estimate = {'value': 0.5, 'low': 0.4, 'high': 0.6}
  table = [
    {
      'name': name,
      'comprehensiveness': {**estimate, 'value': comprehensiveness},
      'sufficiency': {**estimate, 'value': sufficiency},
      'above_random': {**estimate, 'low': low},
    }
    for name, comprehensiveness, sufficiency, low in (
      ('leave_one_out', 0.36, -0.02, 0.2),
      ('random', 0.04, 0.21, 0.0),
    )
  ]
  assert choice_in_words.in_words('leave_one_out', table, 9) == (
    'Leaving each word out explained the predictions best, as measured on 9 '
    'texts of the validation set: without the words that it shades most, the '
    'probability of the prediction drops by 0.36, and without random words it '
    'drops by 0.04; with these words alone it rises by 0.02, and with random '
    'words alone it drops by 0.21.'
  )


def test_a_page_explains_the_first_texts_until_the_tokens_are_read(
  trained, monkeypatch
):
  names = PAGE_METHODS[1:]
  order = [2, 0, 1]
  results = choice.attributions_within(trained, _split(), names, order)
  of_split = attributions.attribute(
    trained.model, trained.task, trained.params, _split(), names
  )
  for name in names:
    for explained, expected in zip(results[name], of_split[name]):
      np.testing.assert_allclose(explained, expected, atol=5e-3)
  # Of 4, 5 and 2 tokens, integrated gradients read 24 times as many, and
  # leave-one-out their squares.
  monkeypatch.setattr(choice, '_TOKENS_OF_PAGE', 24 * 4 + 1)
  some = choice.attributions_within(trained, _split(), names, order)
  are_explained = {
    name: [weights is not None for weights in of_texts]
    for name, of_texts in some.items()
  }
  assert are_explained == {
    'gradient_x_input': [True] * 3,
    'integrated_gradients': [False, False, True],
    'leave_one_out': [True] * 3,
  }
  for name in names:
    np.testing.assert_allclose(some[name][2], results[name][2], atol=1e-5)


def test_long_texts_make_the_sample_smaller():
  lengths = [5, 500]
  few, fewer = (
    choice.sample(_split([[2] * n] * 300), PAGE_METHODS, 0) for n in lengths
  )
  assert len(few) == 200 and 5 <= len(fewer) < 50


def test_two_splits_share_the_shapes_of_their_batches():
  first, second = choice.with_same_shapes(
    _split([[2] * 3, [2] * 9]), _split([[2] * 4, [2] * 20])
  )
  assert first.buckets == second.buckets and len(first.buckets) <= 2
  assert first.buckets[-1] >= 20
