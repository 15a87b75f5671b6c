"""The learning curve of the documentation, and the texts that it draws."""

import shutil

from scripts import ROOT, run_command

from experiments.papers import learning_curve


def test_the_table_of_the_learning_curve(tmp_path):
  page = ROOT / 'docs' / 'guide' / 'pretrain.md'
  copy = tmp_path / 'page.md'
  shutil.copy(page, copy)
  done = run_command('learning_curve', f'--page={copy}')
  assert done.returncode == 0, done.stderr
  # Where it fails: python experiments/learning_curve.py
  assert copy.read_text() == page.read_text()
  assert (tmp_path / 'learning_curve.png').stat().st_size > 1000


def test_the_table_has_a_line_for_each_number_of_labels():
  record = {
    'imdb': {'100': [0.5, 0.7], '500': [0.75, 0.75]},
    'imdb_pretrained': {'100': [0.8, 0.8]},
  }
  lines = learning_curve.table(record).splitlines()
  assert lines[2:] == [
    '| 100 | 60.0 ± 14.1 | 80.0 ± 0.0 |',
    '| 500 | 75.0 ± 0.0 | – |',
  ]


def test_a_larger_sample_contains_a_smaller_one_with_its_labels():
  texts = list(map(str, range(50))), [str(i % 2) for i in range(50)]
  few, many = (learning_curve.drawn(texts, n, 1) for n in (5, 20))
  assert few[0] == many[0][:5] and len(set(many[0])) == 20
  assert all(int(text) % 2 == int(label) for text, label in zip(*many))
