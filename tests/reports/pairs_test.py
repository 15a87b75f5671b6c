"""Runs compared from their files, beside SciPy and by known differences."""

import json
import re

import numpy as np
import pytest
from scipy import stats

from bigru_jax.cli import command, compare
from bigru_jax.config import Config
from bigru_jax.reports.comparison.groups import read_groups
from bigru_jax.reports.comparison.pairs import compare_groups
from bigru_jax.reports.comparison.pairs_tables import pairwise_as, sentence
from bigru_jax.rundir import files as run_files
from bigru_jax.statistics import intervals

LABELS = ['bad', 'good']
NUM_TEXTS = 120


def _write_run(path, config, is_right, weights=None, rows=None):
  """Writes a run that predicts the label of a text where it is right."""
  path.mkdir()
  run_files.write_config(path, config)
  run_files.write_json(path / 'labels.json', LABELS)
  run_files.write_json(path / 'result.json', {'test': {'accuracy': 0.0}})
  run_files.write_json(
    path / 'calibration.json', {'temperature': 1.0, 'thresholds': []}
  )
  lines = []
  for i, right in enumerate(is_right):
    label, prediction = i % 2, i % 2 if right else 1 - i % 2
    lines.append({
      'source': 'test.csv',
      'row': rows[i] if rows else i + 2,
      'label': LABELS[label],
      'prediction': LABELS[prediction],
      'probabilities': {LABELS[prediction]: 0.9, LABELS[1 - prediction]: 0.1},
    })  # fmt: skip
    if weights is not None:
      lines[-1]['weight'] = weights[i]
  run_files.write_lines(path / 'predictions-test.jsonl', lines)
  return path


def _right(accuracy, seed):
  """Whether each text is right: hard texts are hard for every seed."""
  hard = np.random.default_rng(0).random(NUM_TEXTS)
  own = np.random.default_rng(seed + 1).normal(size=NUM_TEXTS)
  return hard + 0.1 * own < accuracy


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
  monkeypatch.setattr(intervals, 'RESAMPLES', 400)


@pytest.fixture
def runs(tmp_path):
  """Three seeds of two settings, of which the first is better."""
  return [
    _write_run(
      tmp_path / f'{size},seed={seed}',
      Config(hidden_size=size, seed=seed),
      _right(accuracy, seed),
    )
    for size, accuracy in ((64, 0.8), (32, 0.6))
    for seed in range(3)
  ]


def test_runs_of_a_setting_are_a_group_and_the_better_one_is_better(runs):
  groups = read_groups(runs)
  assert [x.name for x in groups] == ['hidden_size=64', 'hidden_size=32']
  assert [[*x.by_seed] for x in groups] == [[0, 1, 2]] * 2
  scores, (pair,) = compare_groups(groups, 'accuracy')
  means = [[_right(a, s).mean() for s in range(3)] for a in (0.8, 0.6)]
  assert [x.mean for x in scores] == pytest.approx(np.mean(means, 1).tolist())
  differences = np.subtract(*means)
  assert pair.difference == pytest.approx(differences.mean())
  t_test = stats.ttest_rel(*means)
  assert pair.tests.t_test == pytest.approx(t_test.pvalue)
  low, high = t_test.confidence_interval(0.95)
  over = pair.intervals
  assert (over.over_seeds.low, over.over_seeds.high) == pytest.approx(
    (low, high)
  )
  assert pair.tests.wilcoxon is None
  for seed, p_value in enumerate(pair.mcnemar):
    first, second = _right(0.8, seed), _right(0.6, seed)
    only = (first & ~second).sum(), (second & ~first).sum()
    assert p_value == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
  assert over.over_both.low <= over.over_texts.low
  assert over.over_both.high >= over.over_texts.high
  assert over.over_both.low > 0 and pair.holm == pair.p_value < 0.05
  text = sentence(pair, 'accuracy', NUM_TEXTS)
  assert '120 test texts' in text and 'the mean of seeds 0, 1, 2' in text
  assert 'hidden_size=64 minus hidden_size=32' in text
  assert 'over seeds and texts' in text and 'is significant' in text


def test_single_runs_are_compared_over_texts_and_named_by_directory(runs):
  scores, pairs = compare_groups(read_groups([runs[0], runs[4]]), 'macro_f1')
  assert [x.name for x in scores] == [str(runs[0]), str(runs[4])]
  (pair,) = pairs
  # Their seeds differ.
  assert pair.seeds == [] and len(pair.mcnemar) == 1
  assert np.isnan(pair.intervals.over_both.low)
  assert pair.p_value == pair.bootstrap
  text = sentence(pair, 'macro_f1', NUM_TEXTS)
  assert 'over texts' in text and 'nothing about models trained with' in text
  assert '(seed 0 alone)' in text and '(seed 1 alone)' in text


def test_a_baseline_is_named_by_the_fields_that_it_has(runs, tmp_path):
  baseline = _write_run(tmp_path / 'b', Config(seed=0), _right(0.7, 4))
  run_files.write_json(baseline / 'baseline.json', {'ngrams': 2})
  config = {'seed': 0, 'dataset': Config().dataset}
  run_files.write_json(baseline / 'config.json', config)
  groups = read_groups([*runs[:3], baseline])
  assert [x.name for x in groups] == ['bigru', 'baseline, ngrams=2']
  groups = read_groups([*runs, baseline])
  assert [x.name for x in groups][1:] == [
    'hidden_size=32',
    'baseline, ngrams=2',
  ]
  scores, (_, pair) = compare_groups(groups, 'accuracy')
  text = sentence(pair, 'accuracy', NUM_TEXTS)
  assert text.count('(seed 0 alone)') == 2


def test_equal_runs_do_not_differ(tmp_path):
  paths = [
    _write_run(tmp_path / f'{i}', Config(hidden_size=2**i), _right(0.7, 0))
    for i in (4, 5)
  ]
  _, (pair,) = compare_groups(read_groups(paths), 'accuracy')
  assert pair.difference == 0 and pair.p_value == 1 and pair.mcnemar == [1]
  assert 'is not significant' in sentence(pair, 'accuracy', NUM_TEXTS)


def test_holm_corrects_for_the_number_of_settings(runs, tmp_path):
  third = _write_run(tmp_path / '16', Config(hidden_size=16), _right(0.75, 5))
  _, pairs = compare_groups(read_groups([runs[0], runs[3], third]), 'accuracy')
  smaller, larger = sorted(pair.p_value for pair in pairs)
  assert sorted(pair.holm for pair in pairs) == pytest.approx(
    [min(1, 2 * smaller), max(larger, 2 * smaller)]
  )


def test_weights_and_folds_are_those_of_the_files(tmp_path):
  is_right = _right(0.7, 0)
  weights = np.where(np.arange(NUM_TEXTS) < 60, 1.0, 0.0).tolist()
  paths = [
    _write_run(
      tmp_path / f'{size},{fold}',
      Config(hidden_size=size, folds=2, fold=fold, train='test.csv'),
      is_right[fold::2] if size == 64 else ~is_right[fold::2],
      weights[fold::2],
      rows=[*range(2 + fold, NUM_TEXTS + 2, 2)],
    )
    for size in (64, 32)
    for fold in (0, 1)
  ]
  groups = read_groups(paths)
  scores, (pair,) = compare_groups(groups, 'accuracy')
  assert groups[0].by_seed[0].keys[:2] == [('test.csv', 2), ('test.csv', 3)]
  assert scores[0].mean == pytest.approx(is_right[:60].mean())
  assert pair.difference == pytest.approx(2 * is_right[:60].mean() - 1)


@pytest.mark.parametrize('format', ['csv', 'json', 'text', 'latex'])
def test_the_tables_have_all_forms(runs, format):
  groups = read_groups(runs)
  scores, pairs = compare_groups(groups, 'accuracy')
  text = pairwise_as(scores, pairs, 'accuracy', NUM_TEXTS, format)
  assert 'hidden_size' in text.replace('\\_', '_')
  if format == 'json':
    content = json.loads(text)
    assert content['pairs'][0]['difference'] == pairs[0].difference
    assert content['pairs'][0]['wilcoxon'] is None
    assert content['settings'][1]['over_both_low'] > 0
  elif format == 'text':
    assert 'too few runs' in text and 'hidden_size=64 minus' in text
    assert 'McNemar of accuracy, seed by seed' in text
  elif format == 'latex':
    assert text.count('\\toprule') == 4 and text.startswith('% On the same')
    rows = [x.count('&') for x in text.splitlines() if x.endswith('\\\\')]
    assert max(rows) <= 5 and 'usepackage{booktabs}' in text
    # A row fits into a line of a page.
    assert max(map(len, re.findall('.*&.*', text))) <= 95


def test_the_command_compares_and_explains_what_it_cannot(
  runs, tmp_path, capsys
):
  def run(*arguments):
    status = command.run(compare, ['compare', *map(str, arguments)])
    return status, capsys.readouterr()

  status, streams = run(*runs, '--metric=macro_f1')
  assert status == 0 and 'a test macro F1 of' in streams.out
  other = _write_run(tmp_path / 'other', Config(seed=1), _right(0.7, 0)[:9])
  for arguments, message in (
    ([runs[0]], 'name the directories of two runs or more'),
    (runs[:3], 'these runs differ only in seed and fold'),
    ([runs[0], runs[0]], 'has the same setting, seed and fold as'),
    ([runs[0], other], 'were tested on other texts: 9 of 9 and 120'),
    ([*runs, '--metric=loss'], 'metric=loss: it is not computed'),
    ([*runs, '--metric=f'], "metric='f': choose loss, accuracy"),
    ([runs[0], tmp_path / 'none'], 'is not a run: it does not exist'),
  ):
    status, streams = run(*arguments)
    assert status == 2 and message in streams.err, arguments
    assert streams.err.count('\n') == 1


def test_equal_predictions_leave_room_for_a_difference(tmp_path):
  is_right = _right(0.7, 0)
  paths = [
    _write_run(tmp_path / name, config, is_right)
    for name, config in (('a', Config()), ('b', Config(pooling='max')))
  ]
  _, (pair,) = compare_groups(read_groups(paths), 'accuracy')
  interval, unseen = pair.intervals.over_texts, intervals.wilson(0, NUM_TEXTS)
  assert (interval.low, interval.high) == (-unseen.high, unseen.high)
  assert pair.p_value == 1


def test_what_changes_no_score_is_no_other_setting(tmp_path):
  paths = [
    _write_run(tmp_path / name, config, _right(0.7, 0))
    for name, config in (
      ('a', Config()), ('b', Config(explain=False, metrics='accuracy')),
    )
  ]  # fmt: skip
  with pytest.raises(ValueError, match='has the same setting, seed and fold'):
    read_groups(paths)


def test_runs_with_other_weights_of_the_texts_are_not_compared(tmp_path):
  is_right = _right(0.7, 0)
  paths = [
    _write_run(tmp_path / 'a', Config(), is_right),
    _write_run(
      tmp_path / 'b', Config(pooling='max'), is_right, np.full(NUM_TEXTS, 2.0)
    ),
  ]
  with pytest.raises(ValueError, match='other weights of the same texts'):
    read_groups(paths)
