"""The threshold of two classes decides the same label wherever one is given."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

import bigru_jax
from bigru_jax.data.prepare import prepare
from bigru_jax.explain.predictions import TrainedModel
from bigru_jax.interop import safetensors
from bigru_jax.reports.page.page import data_of
from bigru_jax.rundir import files as run_files
from bigru_jax.training.program import task_of

CONFIG = bigru_jax.Config(
  epochs=2, embedding_size=8, hidden_size=8, batch_size=32,
  learning_rate=0.01, threshold='tuned',
)  # fmt: skip


def _corpus(seed):
  """Texts of which one in eight is spam, and is only sometimes told."""
  rng = np.random.default_rng(seed)
  texts, labels = [], []
  for i in range(240):
    is_spam = i % 8 == 0
    words = rng.choice(['a', 'fine', 'day', 'prize', 'film'], 5).tolist()
    words += ['prize', 'win'] if is_spam and rng.random() < 0.7 else ['film']
    texts.append(' '.join(words))
    labels.append('spam' if is_spam else 'ham')
  return texts, labels


CORPUS = {
  name: _corpus(i) for i, name in enumerate(('train', 'validation', 'test'))
}


@pytest.fixture(scope='module', params=['softmax', 'sigmoid'])
def trained(request, tmp_path_factory):
  """A run whose positive label is the second; or the first, by its name."""
  workdir = tmp_path_factory.mktemp('run')
  config = dataclasses.replace(CONFIG, loss=request.param)
  if request.param == 'sigmoid':
    config = dataclasses.replace(
      config, positive_label='ham', threshold_metric='youden'
    )
  return bigru_jax.train(config, workdir, CORPUS)


def _decided(run, probabilities):
  """The labels, from dicts of probabilities, by the definition."""
  (threshold,) = run.calibration.thresholds
  positive = run.calibration.positive_label
  (other,) = set(run.labels) - {positive}
  return [
    positive if p[positive] >= threshold else other for p in probabilities
  ]


def test_the_rarer_label_is_positive_unless_one_is_named(trained):
  expected = trained.config.positive_label or 'spam'
  assert trained.calibration.positive_label == expected
  assert trained.labels[trained.task.positive] == expected


def test_all_folds_of_equally_many_texts_have_the_second_label():
  texts = [f'{word} film {i}' for i in range(53) for word in ('good', 'bad')]
  positives, counts = set(), []
  for fold in range(5):
    config = bigru_jax.Config(folds=5, fold=fold)
    data = prepare(config, {'train': (texts, ['p', 'n'] * 53)})
    positives.add(data.labels[task_of(config, data).positive])
    counts.append(np.bincount(data.splits['train'].label_array()))
  assert positives == {'p'}
  # In a fold without its held-out texts, either label may be the rarer one.
  assert any(n < p for n, p in counts) and any(n > p for n, p in counts)


def test_all_ways_to_a_label_decide_by_the_threshold(trained):
  texts, labels = CORPUS['test']
  (threshold,) = trained.calibration.thresholds
  assert threshold != 0.5
  answers = trained.predict(texts)
  expected = _decided(trained, [x['probabilities'] for x in answers])
  assert len(set(expected)) == 2
  assert [x['label'] for x in answers] == expected
  calibrated = trained.predict(texts, calibrated=True)
  assert [x['label'] for x in calibrated] == expected
  loaded = bigru_jax.load(trained.workdir)
  assert loaded.task == trained.task
  assert loaded.calibration == trained.calibration
  assert [x['label'] for x in loaded.predict(texts)] == expected
  ensemble = bigru_jax.load_ensemble([trained.workdir])
  assert [x['label'] for x in ensemble.predict(texts)] == expected
  for model in (trained, ensemble):
    evaluation = model.evaluate(texts, labels)
    found = [trained.labels[c] for c in evaluation.predictions]
    assert found == expected
    assert evaluation['accuracy'] == sklearn_metrics.accuracy_score(
      labels, expected
    )
    assert evaluation['macro_f1'] == pytest.approx(
      sklearn_metrics.f1_score(labels, expected, average='macro')
    )
  lines = run_files.read_predictions(trained.workdir, 'test')
  assert [line['prediction'] for line in lines] == expected
  result = run_files.read_result(trained.workdir)
  assert result['test']['accuracy'] == evaluation['accuracy']
  page = data_of(trained.workdir / 'report.html')
  assert [page['labels'][c] for c in page['texts']['prediction']] == expected
  sentence = page['thresholds']['sentence']
  assert f'where its probability is at least {threshold:.3f}' in sentence
  (curve,) = page['diagnostics']['curves']
  assert curve['point']['threshold'] == threshold
  for name in ('roc_auc', 'average_precision'):
    assert curve[name] == pytest.approx(result['test'][name])
  assert curve['point']['recall'] == result['test']['positive_recall']
  assert curve['point']['precision'] == result['test']['positive_precision']
  confidence = [x['probabilities'][x['label']] for x in answers]
  np.testing.assert_allclose(page['texts']['confidence'], confidence, atol=1e-4)


def test_the_threshold_is_the_best_on_validation(trained):
  texts, labels = CORPUS['validation']
  positive = trained.calibration.positive_label
  answers = trained.predict(texts)
  p = np.array([x['probabilities'][positive] for x in answers])
  is_positive = [label == positive for label in labels]

  def score(predicted):
    if trained.config.threshold_metric == 'f1':
      return sklearn_metrics.f1_score(is_positive, predicted)
    return 2 * sklearn_metrics.balanced_accuracy_score(is_positive, predicted)

  found = score([x['label'] == positive for x in answers])
  assert found == max(score(p >= candidate) for candidate in p)
  assert found > score(p >= 0.5)


def test_without_its_threshold_a_run_predicts_the_most_probable_class(
  trained, tmp_path
):
  safetensors.save(trained, tmp_path / 'run')
  path = tmp_path / 'run' / 'calibration.json'
  calibration = json.loads(path.read_text())
  path.write_text(json.dumps({**calibration, 'thresholds': []}))
  other = bigru_jax.load(tmp_path / 'run')
  texts, _ = CORPUS['test']
  for ours, theirs in zip(trained.predict(texts), other.predict(texts)):
    probabilities = theirs['probabilities']
    assert ours['probabilities'] == probabilities
    assert theirs['label'] == max(probabilities, key=probabilities.get)
  # Of a run of an older version, the second label is the positive one.
  path.write_text(json.dumps({'temperature': 1.0, 'thresholds': []}))
  older = bigru_jax.load(tmp_path / 'run').task.positive
  assert older == (0 if trained.config.positive_label == 'ham' else 1)


def test_an_exported_model_says_how_to_decide(trained, tmp_path):
  onnxruntime = pytest.importorskip('onnxruntime')
  to_onnx = pytest.importorskip('bigru_jax.interop.onnx').to_onnx
  texts, _ = CORPUS['test']
  session = onnxruntime.InferenceSession(to_onnx(trained).SerializeToString())
  metadata = session.get_modelmeta().custom_metadata_map
  about = {key: json.loads(value) for key, value in metadata.items()}
  rows = [trained.tokenizer.encode(text)[1] for text in texts]
  lengths = np.array([len(row) for row in rows], np.int32)
  ids = np.array([np.pad(row, (0, 7 - len(row))) for row in rows], np.int32)
  inputs = {'ids': ids, 'lengths': lengths}
  (probabilities,) = session.run(['probabilities'], inputs)
  positive = about['labels'].index(about['positive_label'])
  is_positive = probabilities[:, positive] >= about['thresholds'][0]
  found = [
    about['labels'][positive if x else 1 - positive] for x in is_positive
  ]
  expected = [answer['label'] for answer in trained.predict(texts)]
  assert found == expected
  safetensors.save(trained, tmp_path / 'shared')
  (threshold,) = trained.calibration.thresholds
  decision = f'where its probability is at least {threshold:.4g}'
  assert decision in (tmp_path / 'shared' / 'README.md').read_text()
  published = bigru_jax.load(tmp_path / 'shared')
  assert [answer['label'] for answer in published.predict(texts)] == expected
  assert published.task == trained.task


def test_explanations_are_of_the_decided_class(trained):
  (threshold,) = trained.calibration.thresholds
  model = TrainedModel(
    trained.model, trained.task, trained.params, (threshold,)
  )
  evaluation = trained.evaluate(*CORPUS['test'])
  classes = np.asarray(model.classes(evaluation.probabilities))
  np.testing.assert_array_equal(classes, evaluation.predictions)
  by_default = dataclasses.replace(model, thresholds=())
  np.testing.assert_array_equal(
    by_default.classes(evaluation.probabilities),
    evaluation.probabilities.argmax(1),
  )


def _copy(trained, folder, **calibration):
  """A published model with another calibration; returns its folder."""
  safetensors.save(trained, folder)
  path = folder / 'calibration.json'
  path.write_text(json.dumps({**json.loads(path.read_text()), **calibration}))
  return folder


def test_an_ensemble_has_the_mean_threshold(trained, tmp_path):
  texts, labels = CORPUS['test']
  (threshold,) = trained.calibration.thresholds
  plain = _copy(trained, tmp_path / 'plain', thresholds=[])
  other = _copy(trained, tmp_path / 'other', thresholds=[threshold / 2])
  positive = trained.calibration.positive_label
  (negative,) = set(trained.labels) - {positive}
  for path, expected in ((plain, 0.5), (other, threshold / 2)):
    mean = (threshold + expected) / 2
    ensemble = bigru_jax.load_ensemble([trained.workdir, path])
    answers = ensemble.predict(texts)
    for answer in answers:
      reached = answer['probabilities'][positive] >= mean
      assert answer['label'] == (positive if reached else negative)
    evaluation = ensemble.evaluate(texts, labels)
    assert [trained.labels[c] for c in evaluation.predictions] == [
      answer['label'] for answer in answers
    ]
  most_probable = bigru_jax.load_ensemble([plain, plain]).predict(texts)
  for answer in most_probable:
    p = answer['probabilities']
    assert answer['label'] == max(p, key=p.get)
  opposite = _copy(
    trained, tmp_path / 'opposite', positive_label=negative, thresholds=[]
  )
  with pytest.raises(ValueError, match='opposite: its positive label is not'):
    bigru_jax.load_ensemble([trained.workdir, opposite])
  bigru_jax.load_ensemble([plain, opposite])  # No threshold is averaged.


@pytest.mark.parametrize(
  'wrong',
  [
    {'positive_label': 'eggs'},
    {'thresholds': [0.5, 0.5]},
    {'thresholds': [1.5]},
    {'positive_label': '', 'thresholds': [0.5]},
  ],
)
def test_a_corrupt_calibration_is_named(trained, tmp_path, wrong):
  folder = _copy(trained, tmp_path / 'copy', **wrong)
  with pytest.raises(ValueError, match=r'calibration\.json: '):
    bigru_jax.load(folder)
