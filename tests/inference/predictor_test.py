"""A predictor for services, against the predictions of many texts together."""

from concurrent import futures
import types

import jax
import numpy as np
import pytest
from small_runs import make_run, make_texts

from bigru_jax.inference.ensemble import Ensemble
from bigru_jax.models.pooling import POOLINGS, poolings_that

DEFAULT = [('flat', 'additive'), ('flat', 'entity'), ('hierarchical', 'dot')]
KINDS = [('flat', name) for name in POOLINGS]
KINDS += [('hierarchical', name) for name in poolings_that('fits_any_states')]


def _check_equal(answer, expected):
  assert answer.keys() == expected.keys()
  for name in answer.keys() - {'probabilities', 'attention'}:
    assert answer[name] == expected[name], name
  assert answer['probabilities'] == pytest.approx(expected['probabilities'])
  for name, weights in answer.get('attention', {}).items():
    for head, other in zip(weights, expected['attention'][name], strict=True):
      np.testing.assert_allclose(head, other, atol=1e-6)


@pytest.mark.parametrize(
  'model, pooling',
  [
    pytest.param(*kind, marks=[] if kind in DEFAULT else pytest.mark.slow)
    for kind in KINDS
  ],
)
def test_one_text_is_answered_as_among_many(model, pooling):
  task = 'multi_label' if pooling == 'label_wise' else 'single_label'
  run = make_run(model=model, pooling=pooling, task=task)
  texts = make_texts(run)
  together = run.predict(texts, calibrated=True)
  one, several = run.predictor(calibrated=True), run.predictor(8, True)
  for text, answer, expected in zip(texts, several.predict(texts), together):
    _check_equal(answer, expected)
    _check_equal(one.predict([text])[0], expected)
  assert one.predict(texts[:1]) == run.predict(texts[:1], calibrated=True)


def test_a_predictor_returns_the_fields_that_it_was_made_for():
  predictor = make_run().predictor(fields=['probabilities', 'label'])
  answers = predictor.predict(['word1', 'word2'])
  assert [[*answer] for answer in answers] == [['label', 'probabilities']] * 2
  with pytest.raises(ValueError, match='batch_size=0'):
    make_run().predictor(batch_size=0)
  with pytest.raises(ValueError, match='text 1 is 3, not a string'):
    predictor.predict([3])


@pytest.mark.parametrize(
  'model, num_programs', [('flat', 2 * 3), ('hierarchical', 2 * 2 * 1)]
)
def test_after_warming_up_no_text_waits_for_a_program(model, num_programs):
  words = types.SimpleNamespace(
    lookup=lambda words: {word: np.ones(4, np.float32) for word in words}
  )
  run = make_run(model=model, unseen=words)
  predictor = run.predictor()
  compiled = []

  def count(name, _, **facts):
    if name == '/jax/core/compile/backend_compile_duration':
      compiled.append(facts.get('fun_name'))

  jax.monitoring.register_event_duration_secs_listener(count)
  try:
    predictor.warm_up()
    assert len([name for name in compiled if 'predict' in name]) == num_programs
    compiled.clear()
    for text in make_texts(run):
      predictor.predict([text])
      run.predict([text])
    assert not compiled
  finally:
    jax.monitoring.unregister_event_duration_listener(count)


def test_threads_share_a_predictor():
  run = make_run()
  texts = make_texts(run) * 5
  predictor = run.predictor()
  expected = [predictor.predict([text]) for text in texts]
  with futures.ThreadPoolExecutor(4) as pool:
    answers = list(pool.map(lambda text: predictor.predict([text]), texts))
  assert answers == expected


def test_the_predictor_of_an_ensemble_answers_as_the_ensemble_does():
  ensemble = Ensemble([make_run(seed=0), make_run(seed=1)])
  texts = make_texts(ensemble.members[0])
  predictor = ensemble.predictor(fields=['label', 'probabilities', 'members'])
  predictor.warm_up()
  for text, expected in zip(texts, ensemble.predict(texts)):
    del expected['truncated'], expected['empty']
    _check_equal(predictor.predict([text])[0], expected)
