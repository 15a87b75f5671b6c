"""The explanations of a run on `synthetic`, whose deciding tokens are known."""

import json
import shutil

import pytest
from scripts import run_command

from bigru_jax.explain.attributions import ATTRIBUTIONS
from bigru_jax.reports.page.page import data_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def workdir(run_directory, tmp_path_factory):
  return shutil.copytree(
    run_directory, tmp_path_factory.mktemp('explained') / 'run'
  )


@pytest.fixture(scope='module')
def explained(run_directory, workdir):
  # Stands for a run of the same data that was trained with uniform weights.
  uniform = shutil.copytree(run_directory, workdir.parent / 'uniform')
  config = json.loads((uniform / 'config.json').read_text())
  config['pooling'] = 'mean'
  (uniform / 'config.json').write_text(json.dumps(config))
  predictions = uniform / 'predictions-test.jsonl'
  lines = [json.loads(x) for x in predictions.read_text().splitlines()]
  right = next(x for x in lines if x['prediction'] == x['label'])
  right['prediction'] = 'another'
  predictions.write_text('\n'.join(map(json.dumps, lines)))
  done = run_command('explain',
    f'--uniform_run={uniform}', f'--workdir={workdir}', '--limit=60',
    '--adversarial_texts=8', '--diagnostic_texts=1000',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  return json.loads((workdir / 'explain-test.json').read_text()), done.stdout


def test_attributions_find_the_deciding_tokens(explained):
  found = explained[0]['attributions']
  assert set(found) == {*ATTRIBUTIONS, 'random'}
  assert explained[0]['texts'] == 60
  # Half of the sentences have one deciding token, the others two. The norm of
  # the gradient, which says how much another word would change and not what
  # this one did, need not find them.
  for name, precision, recall in (
    ('gradient_x_input', 0.9, 0.7),
    ('integrated_gradients', 0.9, 0.7),
    ('leave_one_out', 0.9, 0.8),
    ('attention', 0.3, 0.3),
    ('attention_x_gradient', 0.3, 0.3),
  ):
    assert found[name]['precision_at_1'] >= precision
    assert found[name]['recall_at_2'] >= recall
  assert found['random']['precision_at_1'] < 0.3
  erased = found['leave_one_out']
  assert erased['comprehensiveness'] > found['random']['comprehensiveness']
  assert erased['sufficiency'] < found['random']['sufficiency']
  assert found['integrated_gradients']['completeness_error'] < 0.1


def test_the_table_has_all_tests_of_the_attention(explained):
  explanation, shown = explained
  rows = {row['name']: row for row in explanation['table']}
  for name in (
    'Kendall tau of attention and gradient x input',
    'Kendall tau of attention and gradient x input: positive',
    'Kendall tau of attention and leave-one-out',
    'median output change of permuted attention',
    'largest Jensen-Shannon divergence of adversarial attention',
    'uniform attention changes the prediction',
    'accuracy of an MLP guided by uniform weights',
    "accuracy of an MLP guided by the model's attention",
  ):
    row = rows[name]
    assert row['low'] <= row['value'] <= row['high']
    assert -1 <= row['value'] <= 1 and 0 < row['n'] <= 60
    assert 'https://aclanthology.org/' in row['paper']
    assert row['reading'] or row['detail'] or name.endswith('uniform weights')
    assert name in shown
  adversarial = rows[
    'largest Jensen-Shannon divergence of adversarial attention'
  ]
  assert adversarial['n'] == 8


def test_the_page_shows_the_explanations(run_directory, workdir, explained):
  explanation, _ = explained
  for folder, expected in (
    (workdir, {x: explanation[x] for x in ('split', 'table', 'attributions')}),
    (run_directory, None),
  ):
    data = data_of(folder / 'report.html')
    assert data['explain'] == expected
    command = data['untested']['command']
    assert command.startswith('bigru explain --workdir=')


def test_the_uniform_control_compares_accuracies(run_directory, explained):
  rows = {row['name']: row for row in explained[0]['table']}
  result = json.loads((run_directory / 'result.json').read_text())
  count = result['test']['examples']
  for name, mistakes in (
    ('the run', 0),
    ('the run trained with uniform attention', 1),
  ):
    row = rows[f'accuracy of {name}']
    expected = result['test']['accuracy'] - mistakes / count
    assert row['value'] == pytest.approx(expected, abs=1e-9)
    assert row['n'] == count


def test_a_uniform_control_has_uniform_attention(run_directory, tmp_path):
  done = run_command(
    'explain', f'--workdir={run_directory}', f'--uniform_run={run_directory}'
  )
  assert done.returncode == 2
  assert 'has pooling=additive, not mean' in done.stderr
  output = tmp_path / 'missing' / 'x.json'
  done = run_command(
    'explain', f'--workdir={run_directory}', f'--output={output}'
  )
  assert done.returncode == 2 and 'there is no folder' in done.stderr
  done = run_command('explain', f'--workdir={tmp_path}')
  assert done.returncode == 2 and 'is not a run' in done.stderr
