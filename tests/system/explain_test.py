"""The explanations of a run on `synthetic`, whose deciding tokens are known."""

import json
import shutil

import pytest
from scripts import call

from bigru_jax.explain.attributions import ATTRIBUTIONS


@pytest.fixture(scope='module')
def explained(run_directory, tmp_path_factory):
  folder = tmp_path_factory.mktemp('explained')
  output = folder / 'explain.json'
  # Stands for a run of the same data that was trained with uniform weights.
  uniform = shutil.copytree(run_directory, folder / 'uniform')
  config = json.loads((uniform / 'config.json').read_text())
  config['attention'] = 'mean'
  (uniform / 'config.json').write_text(json.dumps(config))
  done = call(
    'explain.py',
    f'--uniform={uniform}', f'--workdir={run_directory}', '--limit=60',
    '--adversarial_texts=8', '--diagnostic_texts=1000', f'--output={output}',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  return json.loads(output.read_text()), done.stdout


def test_attributions_find_the_deciding_tokens(explained):
  found = explained[0]['attributions']
  assert set(found) == {*ATTRIBUTIONS, 'random'}
  assert explained[0]['texts'] == 60
  # Half of the sentences have one deciding token, the others two. The norm of
  # the gradient says how much another word would change, not what this one did.
  for name, precision, recall in (
    ('gradient_x_input', 0.9, 0.7),
    ('integrated_gradients', 0.9, 0.7),
    ('leave_one_out', 0.9, 0.8),
    ('attention', 0.3, 0.3),
    ('attention_x_gradient', 0.3, 0.3),
    ('gradient', 0, 0.1),
  ):
    assert found[name]['precision_at_1'] >= precision
    assert found[name]['recall_at_2'] >= recall
  assert found['random']['precision_at_1'] < 0.3
  for means in found.values():
    assert means['recall_at_2'] >= means['recall_at_1']
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


def test_the_uniform_control_compares_accuracies(run_directory, explained):
  rows = {row['name']: row for row in explained[0]['table']}
  result = json.loads((run_directory / 'result.json').read_text())
  for name in ('the run', 'the run trained with uniform attention'):
    row = rows[f'accuracy of {name}']
    assert abs(row['value'] - result['test']['accuracy']) < 1e-9
    assert row['n'] == result['test']['examples']


def test_a_uniform_control_has_uniform_attention(run_directory, tmp_path):
  done = call(
    'explain.py', f'--workdir={run_directory}', f'--uniform={run_directory}'
  )
  assert done.returncode == 2
  assert 'has attention=additive, not mean' in done.stderr
  done = call('explain.py', f'--workdir={tmp_path}')
  assert done.returncode == 2 and 'is no run' in done.stderr
