"""What a run and an ensemble say about themselves."""

import json
import shutil

import jax
import pytest

import bigru_jax


def _facts(text):
  """The title of a text, and its facts by name."""
  title, *lines = text.splitlines()
  return title, {line.split()[0]: line.split(None, 1)[1] for line in lines}


@pytest.fixture(scope='module')
def run(run_directory):
  return bigru_jax.load(run_directory)


def test_a_run_tells_its_data_scores_size_and_directory(run, run_directory):
  title, facts = _facts(str(run))
  assert title == 'Run'
  assert facts['data'] == 'synthetic'
  assert facts['labels'] == '2: negative, positive'
  test = json.loads((run_directory / 'result.json').read_text())['test']
  assert f'accuracy {test["accuracy"]:.4f}' in facts['test']
  assert facts['test'].endswith(f' on {test["examples"]} texts')
  size = sum(x.size for x in jax.tree.leaves(run.params))
  assert facts['model'].endswith(f'{size:,} parameters')
  assert facts['trained'].endswith(f'UTC, by version {bigru_jax.__version__}')
  assert facts['directory'] == str(run_directory)


def test_a_run_without_results_is_described_all_the_same(
  run_directory, tmp_path
):
  workdir = tmp_path / 'run'
  shutil.copytree(run_directory, workdir)
  (workdir / 'result.json').unlink()
  run = bigru_jax.load(workdir)
  assert [*_facts(repr(run))[1]] == ['labels', 'model', 'directory']
  shutil.rmtree(workdir)
  assert str(workdir) in repr(run)


def test_a_score_has_its_interval_and_an_undefined_one_is_left_out(
  run_directory, tmp_path
):
  workdir = tmp_path / 'run'
  shutil.copytree(run_directory, workdir)
  result = json.loads((workdir / 'result.json').read_text())
  result['test'] |= {'accuracy': 0.5, 'macro_f1': None}
  interval = {'low': 0.25, 'high': 0.75, 'method': 'wilson'}
  result['intervals'] = {'test': {'accuracy': interval}}
  (workdir / 'result.json').write_text(json.dumps(result))
  _, facts = _facts(repr(bigru_jax.load(workdir)))
  assert facts['test'].startswith('accuracy 0.5000 (0.2500 to 0.7500) on ')


def test_a_notebook_shows_the_characters_of_labels(run_directory):
  run = bigru_jax.load(run_directory)
  run.labels = ['<script>', *(f'label {i}' for i in range(9))]
  rows = run._repr_html_()
  assert '10: &lt;script&gt;, label 0' in rows and '<script>' not in rows
  assert 'label 6 and 2 more' in rows


def test_an_ensemble_tells_the_scores_of_each_run(run):
  ensemble = bigru_jax.Ensemble([run])
  title, facts = _facts(str(ensemble))
  assert title == 'Ensemble of 1 run'
  assert [*facts] == ['data', 'labels', str(run.workdir)]
  assert facts[str(run.workdir)].startswith('accuracy ')
  rows = bigru_jax.Ensemble([run, run])._repr_html_()
  assert 'Ensemble of 2 runs' in rows and str(run.workdir) in rows
