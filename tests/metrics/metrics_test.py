"""The accumulated metrics against scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from bigru_jax.metrics import METRICS, current_name, renamed
from bigru_jax.metrics.accumulated import ClassificationMetrics
from bigru_jax.metrics.confusion import relations_of, semeval2010_f1


def _batch(labels, valid):
  arrays = {'labels': labels, 'weights': valid * 1.0, 'lengths': valid * 5}
  return {name: jnp.asarray(array) for name, array in arrays.items()}


def test_metrics_equal_scikit_learn_over_two_batches():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 4, 20)  # Class 4 never occurs.
  predictions = np.where(rng.random(20) < 0.5, labels, (labels + 1) % 4)
  losses = rng.random(20)
  valid = np.arange(20) < 17  # The last three are padding examples.
  accumulated = ClassificationMetrics.zeros(5)
  for part in (slice(0, 12), slice(12, 20)):
    batch = _batch(labels[part], valid[part])
    accumulated = accumulated.update(losses[part], predictions[part], batch)
  found = accumulated.compute()
  assert found['examples'] == 17
  assert np.isclose(found['loss'], losses[:17].mean())
  assert found['accuracy'] == accuracy_score(labels[:17], predictions[:17])
  assert np.isclose(
    found['macro_f1'],
    f1_score(labels[:17], predictions[:17], average='macro'),
  )


LABELS = ['Cause-Effect(e1,e2)', 'Cause-Effect(e2,e1)', 'Message-Topic(e1,e2)',
          'Other']  # fmt: skip


@pytest.mark.parametrize(
  'confusion, score',
  [
    (
      # Of Cause-Effect 8 are correct; 9 + 5 are predicted, in either direction;
      # 10 + 4 are true: P = R = 8/14. Of Message-Topic 5 are correct of 9
      # predicted and 7 true: F1 = 10/16.
      [[5, 2, 1, 2], [1, 3, 0, 0], [1, 0, 5, 1], [2, 0, 3, 6]],
      (8 / 14 + 10 / 16) / 2,
    ),
    # Wrong directions alone: predicted and true, but never correct.
    ([[0, 4, 0, 0], [3, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]], (0 + 1) / 2),
    # Half of the directions are wrong: P = R = 4/8.
    ([[2, 2, 0, 0], [2, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]], (0.5 + 1) / 2),
    # Other for a relation lowers its recall: P = 1, R = 1/2, F1 = 2/3.
    ([[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 2, 2], [0, 0, 0, 5]], 2 / 3),
    # A relation for Other lowers its precision alone: P = 1/2, R = 1.
    ([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [1, 1, 2, 5]], 2 / 3),
    # Right Others change nothing.
    ([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [1, 1, 2, 0]], 2 / 3),
    # A relation that no example has is left out, as in the scorer.
    ([[4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 0, 0], [0, 0, 3, 5]], 1.0),
    ([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 3, 5]], 0.0),
  ],
)
def test_the_semeval_score_equals_that_of_the_official_scorer(confusion, score):
  found = semeval2010_f1(np.array(confusion), LABELS)
  assert found == pytest.approx(score)


def _by_the_scorers_rules(gold, predicted):
  """The score counted over single predictions, by precision and recall."""
  scores = []
  for relation in sorted({name.split('(')[0] for name in gold} - {'Other'}):
    pairs = list(zip(gold, predicted))
    correct = sum(g == p and g.startswith(relation + '(') for g, p in pairs)
    proposed = sum(p.startswith(relation + '(') for _, p in pairs)
    true = sum(g.startswith(relation + '(') for g, _ in pairs)
    precision = correct / proposed if proposed else 0
    recall = correct / true
    total = precision + recall
    scores.append(2 * precision * recall / total if total else 0)
  return sum(scores) / len(scores)


def test_the_accumulated_score_equals_a_count_of_single_predictions():
  rng = np.random.default_rng(0)
  names = ['Cause-Effect', 'Entity-Origin', 'Message-Topic']
  labels = [f'{n}({d})' for n in names for d in ('e1,e2', 'e2,e1')] + ['Other']
  gold = rng.integers(0, 7, 200)
  predicted = np.where(rng.random(200) < 0.5, gold, rng.integers(0, 7, 200))
  metrics = ClassificationMetrics.zeros(7, tuple(labels), 'semeval2010_f1')
  for part in (slice(0, 130), slice(130, 200)):
    ones = np.ones(len(gold[part]))
    metrics = metrics.update(ones, predicted[part], _batch(gold[part], ones))
  expected = _by_the_scorers_rules(
    [labels[i] for i in gold], [labels[i] for i in predicted]
  )
  assert metrics.compute()['semeval2010_f1'] == pytest.approx(expected)
  assert 'semeval2010_f1' not in ClassificationMetrics.zeros(7).compute()


@pytest.mark.parametrize(
  'labels, message',
  [
    (
      ['pos', 'neg'],
      "select_by=semeval2010_f1: the label 'pos' is neither Other",
    ),
    (['Cause-Effect', 'Other'], "the label 'Cause-Effect' is neither Other"),
    (['Other'], 'select_by=semeval2010_f1: no label is a relation'),
  ],
)
def test_labels_that_are_not_relations_are_named(labels, message):
  with pytest.raises(ValueError, match=message):
    relations_of(labels)


def test_a_metric_is_found_by_its_former_name():
  line = {'step': 3, 'loss': 0.5, 'semeval2010': 0.8}
  assert renamed(line) == {'step': 3, 'loss': 0.5, 'semeval2010_f1': 0.8}
  assert current_name('accuracy') == 'accuracy' and current_name('') == ''


def test_every_metric_knows_which_value_is_better():
  assert METRICS['loss'].is_better(0.1, 0.2)
  assert METRICS['accuracy'].is_better(0.2, 0.1)
