"""Settings over seeds: intervals and paired tests against SciPy."""

import io
import json

import numpy as np
import pandas
import pytest
from scipy import stats

from bigru_jax.metrics import METRICS
from bigru_jax.reports.comparison import settings as comparison
from bigru_jax.reports.comparison.settings import Cell
from bigru_jax.reports.comparison.settings_tables import comparison_as
from bigru_jax.reports.figures import settings as plots


def _cells(setting, validation, test, metric='accuracy'):
  return [
    Cell(setting, seed, 0, {metric: v}, {metric: t}, 60.0)
    for seed, (v, t) in enumerate(zip(validation, test))
  ]


CELLS = [
  *_cells('a', [0.80, 0.81, 0.79, 0.80], [0.90, 0.91, 0.92, 0.93]),
  *_cells('b', [0.85, 0.86, 0.84, 0.85], [0.81, 0.86, 0.83, 0.80]),
]


def test_the_interval_is_that_of_students_t():
  values = [0.81, 0.86, 0.83, 0.80]
  found = comparison.summarize(values)
  low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
  assert (found.low, found.high) == pytest.approx((low, high))
  assert found.std == pytest.approx(stats.tstd(values))
  one = comparison.summarize([0.5])
  assert str(one) == '0.5000 (n = 1)' and one.interval == '–'


def test_the_largest_semeval_score_is_the_best():
  cells = _cells('a', [0.7], [0.6], 'semeval2010_f1')
  cells += _cells('b', [0.8], [0.5], 'semeval2010_f1')
  assert comparison.compare_settings(cells, 'semeval2010_f1').chosen == 'b'
  assert 'semeval2010_f1' in METRICS


def test_validation_chooses_the_setting_not_the_test():
  found = comparison.compare_settings(CELLS, 'accuracy')
  assert list(found.settings) == ['b', 'a'] and found.chosen == 'b'
  assert found.settings['a'].test.mean > found.settings['b'].test.mean


@pytest.mark.parametrize('metric', ['loss', 'ece'])
def test_the_smallest_loss_is_the_best(metric):
  cells = [
    *_cells('high', [0.9], [0.1], metric),
    *_cells('low', [0.2], [0.8], metric),
  ]
  assert comparison.compare_settings(cells, metric).chosen == 'low'


def test_pairs_share_seeds_and_folds():
  cells = [*CELLS[:3], *CELLS[4:7], *_cells('a', [0.8] * 5, [0.9] * 5)[4:]]
  found = comparison.compare_settings(cells, 'accuracy')
  found = found.settings['b'].chosen_minus_this
  differences = np.array([0.90, 0.91, 0.92]) - [0.81, 0.86, 0.83]
  assert found.difference.n == 3
  assert found.difference.mean == pytest.approx(differences.mean())
  t_test = stats.ttest_1samp(differences, 0)
  assert found.t_test == pytest.approx(t_test.pvalue) == found.holm
  assert found.wilcoxon is None  # Three differences cannot reach 0.05.
  low, high = stats.t.interval(
    0.95, 2, differences.mean(), stats.sem(differences)
  )
  assert found.difference.low == pytest.approx(low)
  assert found.difference.high == pytest.approx(high)
  same = dict.fromkeys(range(6), 0.5)
  assert comparison.compare(same, same).wilcoxon == 1
  assert comparison.compare({1: 0.5}, {2: 0.5}) is None


def test_an_unknown_metric_is_named_with_the_known_ones():
  with pytest.raises(ValueError, match="'lrap': a,seed=0 has none, of accurac"):
    comparison.compare_settings(CELLS, 'lrap')
  diverged = [*CELLS, *_cells('c', [None], [None])]
  with pytest.raises(ValueError, match='c,seed=0 has none'):
    comparison.compare_settings(diverged, 'accuracy')


def test_p_values_are_corrected_for_the_number_of_settings():
  cells = [*CELLS, *_cells('c', [0.5] * 4, [0.89, 0.90, 0.92, 0.91])]
  found = comparison.compare_settings(cells, 'accuracy')
  pairs = [found.settings[name].chosen_minus_this for name in ('a', 'c')]
  smaller, larger = sorted(pair.t_test for pair in pairs)
  assert sorted(pair.holm for pair in pairs) == [
    pytest.approx(2 * smaller), pytest.approx(max(larger, 2 * smaller))
  ]  # fmt: skip


def test_an_interval_over_seeds_ends_where_the_metric_does():
  cells = _cells('a', [0.9, 0.99, 1.0], [0.9, 1.0, 1.0])
  setting = comparison.compare_settings(cells, 'accuracy').settings['a']
  assert setting.test.high == 1 and 0 < setting.test.low < 0.9


def test_seeds_of_a_fold_are_one_value():
  cells = [
    Cell('a', seed, fold, {'loss': 1.0}, {'loss': fold + seed / 10}, 1.0)
    for seed in range(2)
    for fold in range(3)
  ]
  found = comparison.compare_settings(cells, 'loss').settings['a'].test
  assert found.n == 3
  assert found.mean == pytest.approx(1.05) and found.std == pytest.approx(1)


def test_a_setting_with_missing_runs_is_not_chosen():
  cells = [*CELLS, *_cells('lucky', [0.99], [0.99])]
  found = comparison.compare_settings(cells, 'accuracy')
  assert found.chosen == 'b' and list(found.settings)[-1] == 'lucky'


def test_the_table_and_the_plot_show_the_comparison(tmp_path):
  found = comparison.compare_settings(CELLS, 'accuracy')
  text = comparison_as(found, 'markdown')
  assert 'Chosen by the mean validation accuracy: **b**' in text
  assert '| b | 0.8500 ± 0.0082 (n = 4) | 0.8250 ± 0.0265 (n = 4) |' in text
  assert '| a | -0.0900 ±' in text  # b minus a.
  assert '| too few runs |' in text
  content = json.loads(json.dumps(comparison.as_json(found)))
  assert content['chosen'] == 'b' and content['metric'] == 'accuracy'
  assert content['settings']['b']['chosen_minus_this'] is None
  assert content['settings']['a']['chosen_minus_this']['wilcoxon'] is None
  assert [x['seed'] for x in content['settings']['a']['runs']] == [0, 1, 2, 3]
  plots.save_comparison(found, tmp_path / 'plot.png')
  assert (tmp_path / 'plot.png').read_bytes()[:4] == b'\x89PNG'


def test_the_table_shows_other_metrics_on_test():
  cells = [
    Cell(
      cell.setting, cell.seed, 0, cell.validation, {**cell.test, **more}, 60.0
    )
    for cell in CELLS
    for more in [{'roc_auc': 0.7 + cell.seed / 10, 'mcc': None}]
  ]
  compared = comparison.compare_settings(cells, 'accuracy')
  text = comparison_as(compared, 'markdown', ['roc_auc', 'mcc'])
  assert '| 95 % interval | test roc_auc | test mcc | minutes |' in text
  assert '| 0.8500 ± 0.1291 (n = 4) | – | 4.0 |' in text


def test_tables_for_programs_have_one_number_in_a_cell():
  compared = comparison.compare_settings(CELLS, 'accuracy')
  rows = json.loads(comparison_as(compared, 'json', ['mcc']))
  table = pandas.read_csv(io.StringIO(comparison_as(compared, 'csv', ['mcc'])))
  assert table.setting.tolist() == [row['setting'] for row in rows]
  other = rows[1]
  values = np.array([0.90, 0.91, 0.92, 0.93])
  low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
  assert other['n'] == 4 and other['minutes'] == 4
  assert other['test_accuracy'] == pytest.approx(values.mean())
  assert other['test_accuracy_std'] == pytest.approx(stats.tstd(values))
  assert other['test_accuracy_low'] == pytest.approx(low)
  assert other['test_accuracy_high'] == pytest.approx(high)
  assert other['chosen_minus_this'] == pytest.approx(-0.09)
  assert other['test_mcc'] is None and rows[0]['chosen_minus_this'] is None
  for name, column in table.items():
    assert pandas.isna(column[1]) == (other[name] is None)


def test_a_paper_gets_two_tables_whose_sentences_are_comments():
  compared = comparison.compare_settings(CELLS, 'accuracy')
  text = comparison_as(compared, 'latex')
  assert text.startswith('% Chosen by the mean validation accuracy: b. Its')
  assert text.count(r'\begin{tabular}{l') == text.count(r'\bottomrule') == 2
  assert r'a & $-$0.0900 $\pm$ ' in text and 'b minus & difference' in text
