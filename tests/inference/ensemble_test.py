"""Ensembles of runs, against the mean of their predictions."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

import bigru_jax
from bigru_jax.data.corpora import synthetic

pytestmark = pytest.mark.slow  # Five runs are trained.
CONFIG = bigru_jax.Config(
  dataset='synthetic', epochs=1, embedding_size=8, hidden_size=8,
  batch_size=32, learning_rate=0.01,
)  # fmt: skip
SEVERAL = dataclasses.replace(
  CONFIG, dataset='synthetic_multi_label', task='multi_label'
)


@pytest.fixture(scope='module')
def workdirs(tmp_path_factory):
  """Three runs that have learned little and therefore differ."""
  folder = tmp_path_factory.mktemp('members')
  for seed in range(3):
    config = dataclasses.replace(CONFIG, seed=seed)
    bigru_jax.train(config, folder / str(seed))
    bigru_jax.train(
      dataclasses.replace(SEVERAL, seed=seed), folder / f'several{seed}'
    )
  return folder


def test_an_ensemble_predicts_the_mean_of_the_probabilities(workdirs):
  paths = [workdirs / str(seed) for seed in range(3)]
  ensemble = bigru_jax.load_ensemble(paths)
  texts = list(synthetic.read(7)['test'].texts)[:60]
  answers = ensemble.predict(texts)
  members = [bigru_jax.load(path).predict(texts) for path in paths]
  for answer, *singles in zip(answers, *members):
    for label in ('negative', 'positive'):
      mean = np.mean([single['probabilities'][label] for single in singles])
      np.testing.assert_allclose(answer['probabilities'][label], mean)
    assert answer['label'] == max(
      answer['probabilities'], key=answer['probabilities'].get
    )
    assert answer['members'] == [single['label'] for single in singles]


def test_the_metrics_of_an_ensemble_are_those_of_its_predictions(workdirs):
  ensemble = bigru_jax.load_ensemble([workdirs / '0', workdirs / '1'])
  split = synthetic.read(7)['test']
  found = ensemble.evaluate(split.texts, split.labels)
  answers = ensemble.predict(split.texts)
  gold = [label == 'positive' for label in split.labels]
  p = [answer['probabilities']['positive'] for answer in answers]
  assert found['accuracy'] == sklearn_metrics.accuracy_score(
    split.labels, [answer['label'] for answer in answers]
  )
  expected = sklearn_metrics.log_loss(gold, p)
  assert np.isclose(found['loss'], expected, rtol=1e-4)


def test_a_multi_label_ensemble_uses_the_mean_threshold(workdirs):
  paths = [workdirs / f'several{seed}' for seed in range(2)]
  thresholds = [[0.3] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]]
  for path, values in zip(paths, thresholds):
    calibration = json.loads((path / 'calibration.json').read_text())
    calibration['thresholds'] = values
    (path / 'calibration.json').write_text(json.dumps(calibration))
  ensemble = bigru_jax.load_ensemble(paths)
  split = list(synthetic.read_multi_label(7)['test'])[:80]
  texts = [example.text for example in split]
  members = [bigru_jax.load(path).predict(texts) for path in paths]
  answers = ensemble.predict(texts)
  limits = np.mean(thresholds, axis=0)
  for answer, *singles in zip(answers, *members):
    p = np.mean([list(x['probabilities'].values()) for x in singles], axis=0)
    names = [n for n, reached in zip(ensemble.labels, p >= limits) if reached]
    assert answer['label'] == names
  assert len({tuple(answer['label']) for answer in answers}) > 1
  found = ensemble.evaluate(texts, [example.label for example in split])
  hits = [set(a['label']) == set(x.label) for a, x in zip(answers, split)]
  assert found['accuracy'] == np.mean(hits)


def test_runs_of_losses_with_the_same_activation_are_averaged(
  workdirs, tmp_path
):
  shutil.copytree(workdirs / '0', tmp_path / 'focal')
  config = json.loads((tmp_path / 'focal' / 'config.json').read_text())
  config['loss'] = 'focal'
  (tmp_path / 'focal' / 'config.json').write_text(json.dumps(config))
  ensemble = bigru_jax.load_ensemble([workdirs / '0', tmp_path / 'focal'])
  (answer,) = ensemble.predict(['a good film'])
  (single,) = bigru_jax.load(workdirs / '0').predict(['a good film'])
  assert answer['probabilities'] == pytest.approx(single['probabilities'])


def test_runs_of_another_kind_are_refused(workdirs):
  wrong = 'several0: its task, activation or labels'
  with pytest.raises(ValueError, match=wrong):
    bigru_jax.load_ensemble([workdirs / '0', workdirs / 'several0'])
  with pytest.raises(ValueError, match='members: there is no run'):
    bigru_jax.load_ensemble([])
