"""The table of chosen thresholds in the documentation, and its measures."""

import json
import shutil

import numpy as np
import pytest
from scripts import ROOT, run_command
from sklearn import metrics as sklearn_metrics

from bigru_jax.data.splits import Example
from experiments.papers import thresholds

KEYS = (
  'threshold', 'validation', 'low', 'high', 'out_of_bag', 'out_of_bag_low',
  'out_of_bag_high', 'test', 'test_at_half',
)  # fmt: skip


def test_the_table_of_thresholds(tmp_path):
  page = ROOT / 'docs' / 'guide' / 'evaluate.md'
  copy = tmp_path / 'page.md'
  shutil.copy(page, copy)
  done = run_command('thresholds', f'--page={copy}')
  assert done.returncode == 0, done.stderr
  # Where it fails: python experiments/thresholds.py
  assert copy.read_text() == page.read_text()
  runs = [
    {
      'seed': 0,
      **dict(zip(KEYS, (0.25, 0.5, 0.4, 0.6, 0.45, 0.3, 0.55, 0.45, 0.2))),
    },
    {
      'seed': 1,
      **dict(zip(KEYS, (0.75, 0.7, 0.6, 0.8, 0.65, 0.5, 0.75, 0.65, 0.4))),
    },
  ]
  (tmp_path / 'results.json').write_text(json.dumps({'runs': runs}))
  done = run_command(
    'thresholds', f'--page={copy}', f'--results={tmp_path}/results.json'
  )
  *_, first, second, mean = done.stdout.strip().splitlines()
  assert first == (
    '| 0 | 0.250 | 0.500 (0.400 to 0.600) | 0.450 (0.300 to 0.550) | 0.450 '
    '| 0.200 |'
  )
  assert second.endswith('| 0.650 (0.500 to 0.750) | 0.650 | 0.400 |')
  assert mean == (
    '| mean |  | 0.600 ± 0.141 | 0.550 ± 0.141 | 0.550 ± 0.141 '
    '| 0.300 ± 0.141 |'
  )
  assert first in copy.read_text()


@pytest.mark.parametrize('share', [0.05, 0.2])
def test_one_label_becomes_rare_and_the_others_stay(share):
  examples = [
    Example(f'text {i}', 'neg' if i < 500 else 'pos', 'file', i)
    for i in range(1000)
  ]
  texts, labels = thresholds.imbalanced(examples, 'pos', share)
  assert labels.count('neg') == 500
  assert labels.count('pos') / len(labels) == pytest.approx(share, abs=1e-3)
  names = {x.text: x.label for x in examples}
  assert [names[text] for text in texts] == labels
  assert len(set(texts)) == len(texts)
  # They are in no order.
  places = np.flatnonzero(np.array(labels) == 'pos') / len(labels)
  assert 0.3 < places.mean() < 0.7
  assert thresholds.imbalanced(examples, 'pos', share) == (texts, labels)


def test_the_scores_are_those_of_scikit_learn_on_the_predictions(tmp_path):
  rng = np.random.default_rng(0)
  (tmp_path / 'calibration.json').write_text(
    json.dumps({'thresholds': [0.3], 'positive_label': 'pos'})
  )
  expected, splits = {}, {}
  for split in ('validation', 'test'):
    truth = rng.random(300) < 0.2
    p = np.clip(0.3 * truth + rng.random(300) * 0.6, 0, 1).round(6)
    splits[split] = truth, p
    lines = [
      {
        'source': 'x', 'row': i, 'label': 'pos' if true else 'neg',
        'prediction': 'pos', 'probabilities': {'neg': 1 - x, 'pos': x},
      }
      for i, (true, x) in enumerate(zip(truth.tolist(), p.tolist()))
    ]  # fmt: skip
    content = '\n'.join(map(json.dumps, lines))
    (tmp_path / f'predictions-{split}.jsonl').write_text(content + '\n')
    for threshold in (0.3, 0.5):
      key = split, threshold
      expected[key] = sklearn_metrics.f1_score(truth, p >= threshold)
  found = thresholds.measure(tmp_path)
  assert found['threshold'] == 0.3
  assert found['validation'] == pytest.approx(expected['validation', 0.3])
  assert found['test'] == pytest.approx(expected['test', 0.3])
  assert found['test_at_half'] == pytest.approx(expected['test', 0.5])
  assert found['low'] < found['validation'] < found['high']
  assert 0.05 < found['high'] - found['low'] < 0.3
  # Texts that have not chosen the threshold do not flatter it.
  best = max(
    sklearn_metrics.f1_score(truth, p >= candidate)
    for truth, p in [splits['validation']]
    for candidate in p
  )
  assert found['out_of_bag_low'] < found['out_of_bag'] < best
  assert found['out_of_bag_high'] > found['out_of_bag'] > best - 0.1
