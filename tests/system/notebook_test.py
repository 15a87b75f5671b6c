"""The notebooks run from the first cell to the last and show their results."""

import os
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.dev('ipykernel', 'nbclient')]


class _Notebook:
  """A notebook of docs/ after it was run in a folder.

  Attributes:
    cells: its code cells by id.
  """

  def __init__(self, name, folder):
    import nbclient
    import nbformat

    notebook = nbformat.read(ROOT / 'docs' / name, as_version=4)
    self.cells = {x.id: x for x in notebook.cells if x.cell_type == 'code'}
    # As committed.
    assert not any(cell.outputs for cell in self.cells.values())
    nbclient.NotebookClient(
      notebook,
      timeout=300,
      kernel_name='python3',
      resources={'metadata': {'path': str(folder)}},
    ).execute(
      env={
        **os.environ,
        'PYTHONPATH': str(ROOT),
        'IPYTHONDIR': str(folder / 'ipython'),
      }
    )

  def printed(self, cell):
    """Returns the printed output of a cell."""
    return ''.join(x.get('text', '') for x in self.cells[cell].outputs)

  def shown(self, cell, kind):
    """Returns the output of a cell of one type, such as image/png."""
    outputs = [x.get('data', {}) for x in self.cells[cell].outputs]
    return [data[kind] for data in outputs if kind in data]


def test_the_quickstart_runs(tmp_path):
  notebook = _Notebook('quickstart.ipynb', tmp_path)
  (accuracy,) = re.findall(
    r'test accuracy ([\d.]+), ', notebook.printed('train')
  )
  assert float(accuracy) > 0.95
  (table,) = notebook.shown('train', 'text/html')
  assert f'accuracy {accuracy} (' in table
  lines = notebook.printed('predict').splitlines()
  assert [line[: line.index(' (')] for line in lines] == [
    'the film was good: positive',
    'the film was not good: negative',
    'a dull plot: negative',
  ]
  assert notebook.printed('evaluate').startswith('accuracy 1.00')
  explained = notebook.printed('explain').splitlines()
  assert explained[0].startswith('positive: the ') and ' good +' in explained[0]
  assert explained[1].startswith('negative: the ') and ' not +' in explained[1]
  assert len(notebook.shown('attention', 'image/png')) == 1
  assert (tmp_path / 'runs' / 'quickstart' / 'result.json').exists()


def test_the_notebook_on_ones_own_csv_runs(tmp_path):
  notebook = _Notebook('your_csv.ipynb', tmp_path)
  # A bar and a line, without a setting.
  assert '\repoch 1/5:   0%' in notebook.printed('train')
  assert '\repoch  1  train loss' in notebook.printed('train')
  assert len(notebook.shown('losses', 'image/png')) == 1
  assert "'f1': 1.0" in notebook.printed('scores')
  assert 'report.html' in notebook.shown('page', 'text/html')[0]
  lines = (tmp_path / 'predictions.csv').read_text().splitlines()
  assert [line.split(',')[1] for line in lines] == ['prediction', '5', '1']
