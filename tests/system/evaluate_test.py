"""Evaluation of a run as a user asks for it."""

import csv
import json

import numpy as np
from scripts import call
from sklearn.metrics import classification_report

from bigru_jax.data.corpora import synthetic


def _evaluate(run_directory, *flags):
  return call('evaluate.py', f'--workdir={run_directory}', *flags)


def test_a_split_of_the_run_has_the_metrics_of_its_result(
  run_directory, tmp_path
):
  output = tmp_path / 'answers.jsonl'
  done = _evaluate(
    run_directory, '--split=test', f'--output={output}', '--mistakes=2'
  )
  assert done.returncode == 0, done.stderr
  result = json.loads((run_directory / 'result.json').read_text())
  assert f'accuracy        {result["test"]["accuracy"]:.4f}' in done.stdout
  lines = [json.loads(line) for line in output.read_text().splitlines()]
  stored = (run_directory / 'predictions-test.jsonl').read_text().splitlines()
  for line, other in zip(lines, map(json.loads, stored), strict=True):
    assert line['row'] == other['row'] and line['label'] == other['label']
    assert line['prediction'] == other['prediction']
    np.testing.assert_allclose(
      list(line['probabilities'].values()),
      list(other['probabilities'].values()),
      atol=1e-4,
    )
  expected = classification_report(
    [line['label'] for line in lines], [line['prediction'] for line in lines],
    output_dict=True,
  )  # fmt: skip
  report = result['test_report']
  for name in ('negative', 'positive'):
    assert np.isclose(report['classes'][name]['f1'], expected[name]['f1-score'])
  wrong = [line for line in lines if line['label'] != line['prediction']]
  if wrong:
    surest = max(wrong, key=lambda line: max(line['probabilities'].values()))
    shown = f'row {surest["row"]}: {surest["prediction"]} ('
    assert shown in done.stdout


def test_a_labelled_file_with_labels_that_the_run_does_not_know(
  run_directory, tmp_path
):
  path = tmp_path / 'labelled.csv'
  texts, labels, _ = synthetic.sentences(30, seed=9)
  with path.open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerows([('text', 'label'), *zip(texts, labels)])
  done = _evaluate(run_directory, f'--input={path}')
  assert done.returncode == 0 and 'examples        30' in done.stdout
  with path.open('a', newline='') as file:
    csv.writer(file).writerow(['a film', 'mixed'])
  refused = _evaluate(run_directory, f'--input={path}')
  assert refused.returncode == 2
  assert refused.stderr.startswith(
    f"evaluate.py: input={path}, row 32: the run does not know the labels 'mixed'"
  )
  assert len(refused.stderr.splitlines()) == 1
  ignoring = _evaluate(
    run_directory, f'--input={path}', '--ignore_unknown_labels'
  )
  assert ignoring.returncode == 0
  assert '1 texts have a label that the run does not know' in ignoring.stdout
  assert 'examples        30' in ignoring.stdout


def test_what_is_asked_for_must_be_clear(run_directory, tmp_path):
  for flags, message in [
    ([], 'give either input or split'),
    (['--split=test', '--input=x.csv'], 'give either input or split'),
    (['--input=missing.csv'], 'input=missing.csv: no such file'),
  ]:
    done = _evaluate(run_directory, *flags)
    assert done.returncode == 2 and message in done.stderr
  done = _evaluate(tmp_path, '--split=test')
  assert done.returncode == 2 and 'is no run' in done.stderr
