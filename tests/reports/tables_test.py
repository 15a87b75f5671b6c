"""Tables as text, Markdown, LaTeX, CSV and JSON."""

import io
import json
import math
import re

import pandas
import pytest

from bigru_jax.reports import tables
from bigru_jax.reports.comparison.settings import summarize
from bigru_jax.reports.tables import Number


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


@pytest.mark.parametrize('format', ['text', 'markdown', 'latex'])
def test_zero_has_no_sign(format):
  text = tables.table_as([['x', 'y'], [-1e-9, Number(-0.001, 2)]], format)
  assert '0.0000' in text and '0.00' in text and '-0.0' not in text
  assert '$-$' not in text and str(summarize([-1e-9])).startswith('0.0000')


def test_latex_is_a_tabular_of_booktabs():
  assert tables.table_as(_ROWS, 'latex').splitlines() == [
    r'\begin{tabular}{lrr}',
    r'\toprule  % of \usepackage{booktabs}',
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
