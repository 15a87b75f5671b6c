"""A predictor for services, against the predictions of many texts together."""

from concurrent import futures
import pathlib
import random
import types

import jax
import numpy as np
import pytest

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.text import MARKERS
from bigru_jax.data.tokenizer import VocabularyTokenizer
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.inference.ensemble import Ensemble
from bigru_jax.inference.run import Run
from bigru_jax.models.build import init_params, make_classifier
from bigru_jax.models.pooling import POOLINGS, poolings_that
from bigru_jax.tasks import make_task

WORDS = [f'word{i}' for i in range(20)]
SMALL = {'max_length': 70, 'max_sentences': 12, 'max_sentence_length': 5}
DEFAULT = [('flat', 'additive'), ('flat', 'entity'), ('hierarchical', 'dot')]
KINDS = [('flat', name) for name in POOLINGS]
KINDS += [('hierarchical', name) for name in poolings_that('fits_any_states')]


def _run(labels='xyz', unseen=None, seed=0, **fields):
  """A run with random parameters, which has no directory."""
  config = Config(
    embedding_size=4, hidden_size=3, num_heads=2, **SMALL, **fields
  )
  tokenizer = VocabularyTokenizer('words', ['<pad>', '<unk>', *MARKERS, *WORDS])
  labels = list(labels)
  task = make_task(config, labels)
  model = make_classifier(config, tokenizer.size, task.num_outputs)
  rng = np.random.default_rng(seed)
  params = jax.tree.map(
    lambda x: rng.normal(0, 1, x.shape).astype(np.float32),
    jax.eval_shape(lambda: init_params(model, 0)),
  )
  thresholds = (0.4,) * len(labels) if config.task == 'multi_label' else ()
  return Run(
    workdir=pathlib.Path(), config=config, labels=labels, tokenizer=tokenizer,
    task=task, model=model, params=params, mesh=parallel.local_mesh(),
    calibration=Calibration(1.5, thresholds), unseen=unseen,
  )  # fmt: skip


def _texts(run):
  """Texts of 1 to 100 words, of which the longest are truncated."""
  rng = random.Random(0)
  texts = []
  for count in (1, 2, 20, 31, 32, 33, 60, 64, 100):
    words = [rng.choice([*WORDS, 'other']) for _ in range(count)]
    words[5::7] = ['Ends .' for _ in words[5::7]]
    texts.append(' '.join(words))
  if run.config.pooling_entry.needs_entities:
    return [f'<e1>word1</e1> <e2>It\u2019s</e2> {text}' for text in texts]
  return [*texts, '', 'e\u0301t\u00e9 \u597d!']


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
  run = _run(model=model, pooling=pooling, task=task)
  texts = _texts(run)
  together = run.predict(texts, calibrated=True)
  one, several = run.predictor(calibrated=True), run.predictor(8, True)
  for text, answer, expected in zip(texts, several.predict(texts), together):
    _check_equal(answer, expected)
    _check_equal(one.predict([text])[0], expected)
  assert one.predict(texts[:1]) == run.predict(texts[:1], calibrated=True)


def test_a_predictor_returns_the_fields_that_it_was_made_for():
  predictor = _run().predictor(fields=['probabilities', 'label'])
  answers = predictor.predict(['word1', 'word2'])
  assert [[*answer] for answer in answers] == [['label', 'probabilities']] * 2
  with pytest.raises(ValueError, match='batch_size=0'):
    _run().predictor(batch_size=0)
  with pytest.raises(ValueError, match='text 1 is 3, not a string'):
    predictor.predict([3])


@pytest.mark.parametrize(
  'model, num_programs', [('flat', 2 * 3), ('hierarchical', 2 * 2 * 1)]
)
def test_after_warming_up_no_text_waits_for_a_program(model, num_programs):
  words = types.SimpleNamespace(
    lookup=lambda words: {word: np.ones(4, np.float32) for word in words}
  )
  run = _run(model=model, unseen=words)
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
    for text in _texts(run):
      predictor.predict([text])
      run.predict([text])
    assert not compiled
  finally:
    jax.monitoring.unregister_event_duration_listener(count)


def test_threads_share_a_predictor():
  run = _run()
  texts = _texts(run) * 5
  predictor = run.predictor()
  expected = [predictor.predict([text]) for text in texts]
  with futures.ThreadPoolExecutor(4) as pool:
    answers = list(pool.map(lambda text: predictor.predict([text]), texts))
  assert answers == expected


def test_the_predictor_of_an_ensemble_answers_as_the_ensemble_does():
  ensemble = Ensemble([_run(seed=0), _run(seed=1)])
  texts = _texts(ensemble.members[0])
  predictor = ensemble.predictor(fields=['label', 'probabilities', 'members'])
  predictor.warm_up()
  for text, expected in zip(texts, ensemble.predict(texts)):
    del expected['truncated'], expected['empty']
    _check_equal(predictor.predict([text])[0], expected)
