"""The notebook runs from its first cell to its last, and shows its results."""

import os
import pathlib

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_quickstart(tmp_path):
  notebook = nbformat.read(ROOT / 'docs' / 'quickstart.ipynb', as_version=4)
  cells = {x.id: x for x in notebook.cells if x.cell_type == 'code'}
  assert not any(cell.outputs for cell in cells.values())  # As committed.
  nbclient.NotebookClient(
    notebook,
    timeout=300,
    kernel_name='python3',
    resources={'metadata': {'path': str(tmp_path)}},
  ).execute(
    env={
      **os.environ,
      'PYTHONPATH': str(ROOT),
      'IPYTHONDIR': str(tmp_path / 'ipython'),
    }
  )

  def printed(name):
    return ''.join(output.get('text', '') for output in cells[name].outputs)

  assert float(printed('train').split('test accuracy ')[1]) > 0.95
  lines = printed('predict').splitlines()
  assert [line[: line.index(' (')] for line in lines] == [
    'the film was good: positive',
    'the film was not good: negative',
    'a dull plot: negative',
  ]
  assert "'accuracy': 1.0" in printed('evaluate')
  images = [
    output.data['image/png']
    for output in cells['attention'].outputs
    if 'image/png' in output.get('data', {})
  ]
  assert len(images) == 1
  assert (tmp_path / 'runs' / 'quickstart' / 'result.json').exists()
