"""Tables as text, Markdown, LaTeX, CSV and JSON."""

import io
import json
import math
import re

import numpy as np
import pandas
import pytest

from bigru_jax.metrics.by_class import classification_report
from bigru_jax.reports import tables
from bigru_jax.reports.tables import Number


def test_a_table_has_the_classes_the_averages_and_the_confusion_matrix():
  report = classification_report(
    np.array([0, 0, 1]), np.array([0, 1, 1]), ['neg', '好']
  )
  assert tables.classification_table(report).splitlines() == [
    'class     precision  recall      F1  support',
    'neg          1.0000  0.5000  0.6667        2',
    '好           0.5000  1.0000  0.6667        1',
    '',
    'micro        0.6667  0.6667  0.6667        3',
    'macro        0.7500  0.7500  0.6667        3',
    'weighted     0.8333  0.6667  0.6667        3',
    '',
    'label \\ prediction  neg  好',
    'neg                   1   1',
    '好                    0   1',
  ]


def test_sums_of_weights_have_two_decimals():
  weights = np.array([0.1, 0.7, 3], np.float32)
  report = classification_report(
    np.array([0, 0, 1]), np.array([0, 1, 1]), ['neg', 'pos'], weights
  )
  lines = tables.classification_table(report).splitlines()
  assert [line.split()[-1] for line in lines[1:3]] == ['0.80', '3.00']
  assert lines[-2].split() == ['neg', '0.10', '0.70']


def test_of_many_classes_the_worst_are_shown():
  labels = np.arange(100)
  predictions = np.where(labels < 3, 99, labels)
  report = classification_report(labels, predictions, [f'c{i}' for i in labels])
  lines = tables.classification_table(report).splitlines()
  assert [line.split()[0] for line in lines[1:4]] == ['c0', 'c1', 'c2']
  assert lines[-1] == '(the worst 60 of 100 classes)'


def test_markdown_escapes_its_bars():
  assert tables.markdown([['a|b', 'c'], ['1', '2']]).splitlines() == [
    '| a\\|b | c |', '| --- | --- |', '| 1 | 2 |',
  ]  # fmt: skip


_ROWS = [
  ['setting', 'test accuracy', 'p'],
  ['a|b_1 & 50%', '-0.0900 ± 0.0082 (n = 4)', Number(0.25, 3)],
  [],
  ['c "x", y', None, math.nan],
]


def test_a_table_can_be_read_as_text_and_markdown():
  assert tables.table_as(_ROWS, 'text').splitlines() == [
    'setting                 test accuracy      p',
    'a|b_1 & 50%  -0.0900 ± 0.0082 (n = 4)  0.250',
    '',
    'c "x", y                            –      –',
  ]
  assert tables.table_as(_ROWS, 'markdown').splitlines() == [
    '| setting | test accuracy | p |', '| --- | --- | --- |',
    '| a\\|b_1 & 50% | -0.0900 ± 0.0082 (n = 4) | 0.250 |',
    '| c "x", y | – | – |',
  ]  # fmt: skip


def test_csv_and_json_have_all_digits_and_no_dash():
  rows = [['name', 'F1'], ['a,b', 2 / 3], ['c "x"\nd', Number(1 / 3, 1)]]
  table = pandas.read_csv(io.StringIO(tables.table_as(rows, 'csv')))
  assert table['F1'].tolist() == [2 / 3, 1 / 3]
  assert table['name'].tolist() == ['a,b', 'c "x"\nd']
  expected = [dict(zip(rows[0], row)) for row in [['a,b', 2 / 3]]]
  assert json.loads(tables.table_as(rows[:2], 'json')) == expected
  assert json.loads(tables.table_as(_ROWS, 'json'))[1] == {
    'setting': 'c "x", y', 'test accuracy': None, 'p': None,
  }  # fmt: skip
  assert tables.table_as(_ROWS, 'csv').splitlines()[2] == '"c ""x"", y",,'


def test_latex_is_a_tabular_of_booktabs():
  assert tables.table_as(_ROWS, 'latex').splitlines() == [
    r'\begin{tabular}{lrr}',
    r'\toprule',
    r'setting & test accuracy & p \\',
    r'\midrule',
    r'a\textbar{}b\_1 \& 50\% & $-$0.0900 $\pm$ 0.0082 (n = 4) & 0.250 \\',
    r'\midrule',
    r'c "x", y & -- & -- \\',
    r'\bottomrule',
    r'\end{tabular}',
  ]


def test_latex_is_escaped_as_by_pandas():
  pytest.importorskip('jinja2')
  text = r'\a {b} #1 $x^2$ ~5 % A_B & c'
  frame = pandas.DataFrame([[text]], columns=['head'])
  expected = frame.to_latex(escape=True, index=False).splitlines()[4]
  row = tables.table_as([['head'], [text]], 'latex').splitlines()[4]
  # Pandas adds spaces after the names of commands.
  simple = [
    re.sub(r'\{\}|\\space', '', x).replace(' ', '') for x in (row, expected)
  ]
  assert simple[0] == simple[1]


def test_a_line_of_latex_is_no_option_of_the_line_before():
  rows = [['x'], ['[1] a'], ['*b\nc']]
  lines = tables.table_as(rows, 'latex').splitlines()
  assert lines[4:6] == [r'{[}1] a \\', r'{*}b c \\']


def test_several_tables_have_names_in_json_and_blank_lines_elsewhere():
  both = {'classes': [['a'], [1]], 'metrics': [['b'], [2]]}
  assert json.loads(tables.tables_as(both, 'json')) == {
    'classes': [{'a': 1}], 'metrics': [{'b': 2}],
  }  # fmt: skip
  assert tables.tables_as(both, 'csv') == 'a\n1\n\nb\n2'
  with pytest.raises(ValueError, match="format='html': choose text, markdown,"):
    tables.tables_as(both, 'html')
