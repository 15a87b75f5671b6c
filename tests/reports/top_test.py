"""The top of a page in words, beside counts made in another way."""

import shutil

import pytest
from scipy import stats

from bigru_jax.config import Config
from bigru_jax.metrics import METRICS
from bigru_jax.reports.page import (
  answers as counts,
  baseline as page_baseline,
  page,
  sentences,
  top as page_top,
)
from bigru_jax.reports.page.answers import Answer
from bigru_jax.rundir import files as run_files

LABELS = ['negative', 'positive']


def _answers(*entries):
  """Returns answers of (gold, predicted, probability)."""
  return [Answer(frozenset([x]), (y,), (p,)) for x, y, p in entries]


def _copy(run_directory, workdir):
  """Copies a run that another test may not write to, without its models."""
  workdir.mkdir(parents=True)
  for path in run_directory.iterdir():
    if path.is_file():
      shutil.copy(path, workdir)
  return workdir


def _baseline_of(workdir, path):
  """Makes a directory of a baseline, with the predictions of a run."""
  _copy(workdir, path)
  run_files.write_json(path / 'baseline.json', {})
  return path


def test_the_top_of_a_run_says_what_its_result_says(run_directory):
  top = page.data_of(run_directory / 'report.html')['top']
  result = run_files.read_result(run_directory)
  accuracy, count = result['test']['accuracy'], result['test']['examples']
  own, alone = top['shares']
  assert own['value'] == accuracy
  expected = stats.binomtest(round(accuracy * count), count)
  expected = expected.proportion_ci(method='wilson')
  assert (own['low'], own['high']) == pytest.approx(tuple(expected))
  lines = run_files.read_predictions(run_directory, 'test')
  golds = [line['label'] for line in lines]
  commonest = max(LABELS, key=golds.count)
  assert alone['name'] == f'Always answering “{commonest}”'
  assert alone['value'] == pytest.approx(golds.count(commonest) / count)
  assert f'right on {sentences.percent(accuracy)}' in top['quality'][0]
  assert abs(float(sentences.percent(accuracy)[:-2]) - 100 * accuracy) < 0.051
  assert sum(band['count'] for band in top['bands']) == count
  right = sum(band['right'] for band in top['bands'])
  assert right == round(accuracy * count)
  surest = [x for x in lines if x['probabilities'][x['prediction']] >= 0.9]
  if surest:
    assert top['bands'][0]['count'] == len(surest)


def test_the_top_names_the_data_the_time_and_the_version(run_directory):
  data = page.describe(run_directory)
  texts = page.data_of(run_directory / 'report.html')['texts']

  def made(**fields):
    top = page_top.make_top(run_directory, data | fields, texts, None, '')
    return top['title'], top['made']

  title, sentence = made(version='1.2.3', finished='2026-11-29T19:05:02+00:00')
  assert title == 'Model trained on synthetic'
  assert sentence == (
    'It was trained on 2,000 texts of synthetic. bigru_jax 1.2.3 finished it '
    'on 29 November 2026, 19:05 UTC.'
  )
  # Those of an older version have no time.
  _, sentence = made(version='0.2.0', finished=None, diagnostics=None)
  assert sentence == (
    'It was trained on synthetic. The version of bigru_jax was 0.2.0.'
  )


def test_examples_are_right_and_wrong_and_of_different_labels(run_directory):
  texts = page.data_of(run_directory / 'report.html')['texts']
  examples = counts.choose_examples(texts)
  assert all(texts['right'][i] == 1 for i in examples['right'])
  assert all(texts['right'][i] == 0 for i in examples['wrong'])
  assert len(examples['right']) == 3
  assert len({texts['prediction'][i] for i in examples['right']}) == 2
  for i in examples['wrong']:
    gold = texts['gold'][i]
    of_label = [
      texts['confidence'][j]
      for j in range(len(texts['text']))
      if texts['right'][j] == 0 and texts['gold'][j] == gold
    ]
    assert texts['confidence'][i] >= sorted(of_label)[-min(3, len(of_label))]


def test_blank_texts_are_no_examples_if_there_are_others():
  texts = {
    'text': ['', 'a film that is long enough', ' ', 'short', ''],
    'right': [0, 0, 0, 0, 1],
    'gold': [0, 0, 0, 1, 1],
    'prediction': [1, 1, 1, 0, 1],
    'confidence': [0.99, 0.6, 0.98, 0.7, 0.9],
  }
  examples = counts.choose_examples(texts, 2)
  assert sorted(examples['wrong']) == [1, 3] and examples['right'] == [4]


def test_the_commonest_answer_counts_stored_weights():
  lines = [
    {'label': label, 'prediction': 'a', 'probabilities': {'a': 0.9}, **weight}
    for label, weight in (('a', {'weight': 6.0}), ('b', {}), ('b', {}))
  ]
  _, alone = counts.shares_of_right(counts.answers_of_lines(lines), False)
  assert alone['name'].endswith('“a”') and alone['value'] == 0.75


def test_a_weighted_accuracy_is_named_so(run_directory):
  data = page.describe(run_directory)
  texts = page.data_of(run_directory / 'report.html')['texts']
  data['tested'] |= {'accuracy': 0.123, 'interval': None}
  top = page_top.make_top(run_directory, data, texts, None, '')
  assert top['shares'][0]['value'] == 0.123 and not top['shares'][0]['low']
  assert top['quality'][-1].startswith('This share counts the weights')


def test_it_says_when_the_model_is_too_sure():
  sure = _answers(*[('a', 'a', 0.95)] * 60, *[('a', 'b', 0.95)] * 40)
  said = sentences.on_trust(counts.bands(sure), sure, False)
  assert said[0] == (
    'It is at least 90 % sure of all its 100 answers: 60 of these (60.0 %) are '
    'right.'
  )
  assert said[-1].endswith('it is surer than it should be.')
  fair = _answers(*[('a', 'a', 0.95)] * 95, *[('a', 'b', 0.55)] * 5)
  said = sentences.on_trust(counts.bands(fair), fair, False)
  assert said[1] == (
    'It is less than 70 % sure of 5: 0 of these (0.0 %) are right. Let a '
    'person check these.'
  )
  assert said[-1].endswith('what it claims holds on average.')


def test_it_says_where_the_model_fails():
  answers = _answers(
    *[('a', 'a', 0.9)] * 8, *[('b', 'a', 0.9)] * 3, ('b', 'b', 0.9)
  )
  mistakes, worst, _ = sentences.on_failures(answers, ['a', 'b', 'c'], False)
  assert mistakes == (
    'Of 12 answers, 3 are wrong. The commonest mistake (3 of them) is to '
    'answer “a” where “b” is true.'
  )
  assert worst == (
    '“b”: it finds 25.0 % of the 4 texts with this label; where it answers '
    '“b”, it is right in 100.0 % of cases.'
  )
  answers += _answers(*[(x, x, 0.9) for x in 'cd'])
  said = sentences.on_failures(answers, ['a', 'b', 'c', 'd'], False)
  assert len(said) == 5
  assert said[1] == (
    'Of the 4 labels of these texts, the model knows these three worst:'
  )
  said = sentences.on_failures(answers[:8], ['a', 'b', 'c'], False)
  assert said == ['It made no mistake on these texts.']


def test_a_model_that_is_no_better_than_one_label_is_called_so():
  answers = _answers(*[('a', 'b', 0.6)] * 60, *[('b', 'b', 0.6)] * 50)
  shares = counts.shares_of_right(answers, False)
  said = sentences.on_quality(shares, 110, 'test texts', False)
  assert said[1].endswith('would be right on 54.5 %.')
  assert said[2].startswith('The model is no better than that')


@pytest.mark.parametrize(
  'low, high, said',
  [
    (-0.02, 0.01, 'which of the two is better cannot be said (95 %'),
    (0.01, 0.05, 'worse by 3.0 points'),
    (-0.05, -0.01, 'better by 3.0 points'),
  ],
)
def test_the_linear_model_is_better_or_worse_or_neither(low, high, said):
  sign = -1 if high < 0 else 1
  share = {'value': 0.8 - sign * 0.03}
  baseline = {'share': share, 'difference': {'low': low, 'high': high}}
  (sentence,) = sentences.on_baseline({'value': 0.8}, baseline)
  assert f'{said} ' in f'{sentence} '
  assert f'{100 * low:.1f} to'.replace('-', '−') in sentence


def test_several_labels_count_as_right_together_and_one_by_one():
  answers = [
    Answer(frozenset('ab'), ('a', 'b'), (0.9, 0.8)),
    Answer(frozenset('a'), ('a', 'b'), (0.95, 0.4)),
    Answer(frozenset(), (), ()),
  ]
  own, alone = counts.shares_of_right(answers, True)
  assert own['value'] == pytest.approx(2 / 3)
  assert alone['value'] == pytest.approx(1 / 3)
  assert sentences.on_labels(answers) == (
    'Label by label: 75.0 % of the labels it gives are right, and it finds '
    '100.0 % of the true ones.'
  )
  surest, middle, last = counts.bands(answers)
  assert [surest['count'], middle['count'], last['count']] == [2, 1, 1]
  assert last['name'] == 'less than 50 %' and last['right'] == 0


def test_a_baseline_beside_the_run_is_found(run_directory, tmp_path):
  workdir = _copy(run_directory, tmp_path / 'run')
  assert page_baseline.find_baseline(workdir) is None
  command = page.describe(workdir)['baseline_command']
  assert command == (
    f'bigru baseline --dataset=synthetic --workdir={workdir},baseline && '
    f'bigru report --workdir={workdir}'
  )
  other = _baseline_of(workdir, tmp_path / 'a_of_other_data')
  (other / 'data.json').write_text('{"train": "other"}')
  unfinished = _baseline_of(workdir, tmp_path / 'b_unfinished')
  (unfinished / 'result.json').unlink()
  expected = _baseline_of(workdir, tmp_path / 'linear')
  assert page_baseline.find_baseline(workdir) == expected
  page.update_page(workdir)
  data = page.data_of(workdir / 'report.html')
  shares = data['top']['shares']
  assert len(shares) == 3 and shares[1]['value'] == shares[0]['value']
  difference = data['baseline']['difference']
  assert difference['low'] < 0 < difference['high']
  default = _baseline_of(workdir, tmp_path / 'run,baseline')
  assert page_baseline.find_baseline(workdir) == default


def test_a_page_of_other_texts_has_no_scores_of_the_test(
  run_directory, tmp_path
):
  answer = {
    'label': 'positive',
    'probabilities': {'negative': 0.25, 'positive': 0.75},
    'tokens': ['film'],
    'spans': [[0, 4]],
    'truncated': False,
    'attention': {'words': [[1.0]]},
  }
  accuracy = run_files.read_result(run_directory)['test']['accuracy']
  for golds in (['negative'] * 4, [None] * 4):
    page.write_page(
      tmp_path / 'x.html', run_directory, ['film'] * 4, [answer] * 4, golds,
      ['x.csv, row 2'] * 4, 'Texts of x.csv.', source='x.csv',
    )  # fmt: skip
    data = page.data_of(tmp_path / 'x.html')
    top = data['top']
    assert top['title'] == 'Answers for the texts of x.csv'
    assert data['baseline'] is None
    assert top['quality'][-1].startswith('On its own 400 test texts the model')
    assert sentences.percent(accuracy) in top['quality'][-1]
    if golds[0]:
      assert top['shares'][0]['value'] == 0.0
      assert top['quality'][0].startswith('On 4 texts of x.csv, it is right on')
    else:
      assert 'shares' not in top and 'trust' not in top
      assert top['given'][0] | {'low': None} == {
        'name': 'positive', 'value': 1.0, 'low': None, 'high': None,
      }  # fmt: skip


@pytest.mark.parametrize(
  'setting, counts_of_labels, warning',
  [
    ('per_label', [60, 70], None),
    ('per_label', [60, 3], 'Fewer than 50 validation texts have “b” (3)'),
    ('tuned', [60, 3], None),
    ('tuned', [10, 3], '40 validation texts are few'),
    ('fixed', [10, 3], None),
  ],
)
def test_thresholds_are_shown_with_a_warning_where_texts_are_few(
  setting, counts_of_labels, warning, tmp_path
):
  config = Config(task='multi_label', threshold=setting)
  values = [0.5, 0.5] if setting == 'fixed' else [0.3, 0.3]
  (tmp_path / 'labels.json').write_text('["a", "b"]')
  run_files.write_json(
    tmp_path / 'calibration.json', {'temperature': 1, 'thresholds': values}
  )
  texts = 40 if 10 in counts_of_labels else 400
  split = {'texts': texts, 'labels': counts_of_labels}
  shown = page_top.thresholds(
    tmp_path, config, {'splits': {'validation': split}}
  )
  assert shown['at_half'] == (setting == 'fixed')
  if setting == 'per_label':
    assert shown['rows'] == [*zip('ab', values, counts_of_labels)]
  if setting != 'fixed':
    assert f'{texts} validation texts' in shown['sentence']
  if warning:
    assert shown['warning'].startswith(warning)
  else:
    assert shown['warning'] is None
  assert page_top.thresholds(tmp_path, config, None)


def test_each_metric_and_cost_of_a_page_has_words(run_directory):
  for name, metric in METRICS.items():
    assert metric.title and metric.meaning.endswith('.'), name
  data = page.data_of(run_directory / 'report.html')
  names = {name for _, values in data['metrics'] for name in values}
  assert names <= data['words'].keys()
  assert not any('_' in title for title, _ in data['words'].values())
