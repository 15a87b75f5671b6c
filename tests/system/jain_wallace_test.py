"""The table of Jain & Wallace in the documentation."""

import json
import shutil

from scripts import ROOT, run_command


def test_the_table_of_jain_and_wallace(tmp_path):
  page = ROOT / 'docs' / 'explanations.md'
  copy = tmp_path / 'page.md'
  shutil.copy(page, copy)
  done = run_command('jain_wallace', f'--page={copy}')
  assert done.returncode == 0, done.stderr
  # Where it fails: python experiments/jain_wallace.py
  assert copy.read_text() == page.read_text()
  tau = 'Kendall tau of attention and gradient x input'
  table = [
    {'name': 'accuracy of the run', 'value': 0.8},
    {'name': tau, 'value': 0.35},
    {'name': f'{tau}: negative', 'value': 0.312},
    {'name': f'{tau}: positive', 'value': None},
    {'name': f'{tau}: share with p < 0.05', 'value': 0.5},
  ]
  (tmp_path / 'sst2-average.json').write_text(json.dumps({'table': table}))
  done = run_command('jain_wallace', f'--page={copy}', f'--results={tmp_path}')
  line = next(x for x in copy.read_text().splitlines() if '0.61 / 0.60' in x)
  cells = [cell.strip() for cell in line.strip('|').split('|')]
  assert cells[:7] == [
    'SST-2', 'average', '0.81', '0.80', '–', '0.61 / 0.60', '0.31 / –',
  ]  # fmt: skip
  assert line in done.stdout
  (tmp_path / 'sst2-average.json').write_text('[]')
  done = run_command('jain_wallace', f'--page={copy}', f'--results={tmp_path}')
  assert (
    done.returncode == 2 and 'sst2-average.json is not a file of' in done.stderr
  )
