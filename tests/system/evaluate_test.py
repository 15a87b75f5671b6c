"""evaluate.py as a user runs it."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from scripts import run_command
from sklearn.metrics import classification_report

from bigru_jax.cli import evaluate
from bigru_jax.data.corpora import synthetic
from bigru_jax.data.split_digest import SplitDigest
from bigru_jax.data.splits import Example
from bigru_jax.rundir import files as run_files


def _evaluate(run_directory, *flags):
  return run_command('evaluate', f'--workdir={run_directory}', *flags)


def test_a_split_of_the_run_has_the_metrics_of_its_result(
  run_directory, tmp_path
):
  output = tmp_path / 'answers.jsonl'
  done = _evaluate(run_directory, '--split=test', f'--output={output}')
  assert done.returncode == 0, done.stderr
  result = json.loads((run_directory / 'result.json').read_text())
  shown = f'accuracy +{result["test"]["accuracy"]:.4f}\n'
  assert re.search(shown, done.stdout)
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


def test_a_program_reads_the_tables_alone(run_directory):
  flags = ['--split=test', '--mistakes=1']
  done = _evaluate(run_directory, *flags, '--format=json')
  assert done.returncode == 0, done.stderr
  printed = json.loads(done.stdout)
  result = json.loads((run_directory / 'result.json').read_text())
  assert printed['metrics'][0]['accuracy'] == result['test']['accuracy']
  assert [row['class'] for row in printed['classes']] == list(
    result['test_report']['classes']
  )
  assert 'row ' in done.stderr  # The mistake.
  paper = _evaluate(run_directory, '--split=test', '--format=latex')
  assert paper.stdout.count(r'\begin{tabular}') == 3


def test_the_most_confident_mistake_comes_first(run_directory, tmp_path):
  path, output = tmp_path / 'labelled.csv', tmp_path / 'answers.jsonl'
  texts, labels, _ = synthetic.sentences(20, seed=9)
  other = {'negative': 'positive', 'positive': 'negative'}
  labels[3:6] = [other[label] for label in labels[3:6]]
  with path.open('w', newline='') as file:
    csv.writer(file).writerows([('text', 'label'), *zip(texts, labels)])
  done = _evaluate(
    run_directory, f'--input={path}', f'--output={output}', '--mistakes=1'
  )
  lines = [json.loads(line) for line in output.read_text().splitlines()]
  wrong = [line for line in lines if line['label'] != line['prediction']]
  first = max(wrong, key=lambda line: max(line['probabilities'].values()))
  assert {line['row'] for line in wrong} >= {5, 6, 7}
  assert f'row {first["row"]}: {first["prediction"]} (' in done.stdout
  assert done.stdout.endswith(f'  {texts[first["row"] - 2]}\n')
  refused = _evaluate(run_directory, f'--input={path}', f'--output={path}')
  assert refused.returncode == 2 and 'is the input' in refused.stderr


def test_the_training_file_is_named_as_such(tmp_path, caplog):
  examples = [Example('a fine film', '5', 'train.csv', 2)]
  digest = SplitDigest()
  for example in examples:
    digest.add(example)
  run_files.write_json(tmp_path / 'data.json', {'train': digest.hexdigest()})
  others = [examples[0]._replace(text='another film')]
  evaluate.warn_of_train([tmp_path], 'other.csv', others)
  assert not caplog.text
  evaluate.warn_of_train([tmp_path], 'train.csv', examples)
  assert 'train.csv: the run was trained on it' in caplog.text


def test_a_file_with_labels_unknown_to_the_run_is_evaluated(
  run_directory, tmp_path
):
  path = tmp_path / 'labelled.csv'
  texts, labels, _ = synthetic.sentences(30, seed=9)
  with path.open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerows([('text', 'label'), *zip(texts, labels)])
  done = _evaluate(run_directory, f'--input={path}')
  assert done.returncode == 0 and re.search(r'examples +30\n', done.stdout)
  with path.open('a', newline='') as file:
    csv.writer(file).writerow(['a film', 'mixed'])
  refused = _evaluate(run_directory, f'--input={path}')
  assert refused.returncode == 2
  assert refused.stderr.startswith(
    f'evaluate.py: input={path}, row 32: the run does not know the labels '
    "'mixed'"
  )
  assert len(refused.stderr.splitlines()) == 1
  ignoring = _evaluate(
    run_directory, f'--input={path}', '--ignore_unknown_labels'
  )
  assert ignoring.returncode == 0
  assert '1 texts have a label that the run does not know' in ignoring.stdout
  assert re.search(r'examples +30\n', ignoring.stdout)


def test_ambiguous_requests_are_refused(run_directory, tmp_path):
  for flags, message in [
    ([], 'give either input or split'),
    (['--split=test', '--input=x.csv'], 'give either input or split'),
    (['--input=missing.csv'], 'input=missing.csv: no such file'),
  ]:
    done = _evaluate(run_directory, *flags)
    assert done.returncode == 2 and message in done.stderr
  done = _evaluate(tmp_path, '--split=test')
  assert done.returncode == 2 and 'is not a run' in done.stderr


@pytest.mark.slow
def test_an_ensemble_needs_runs_of_the_same_split(run_directory, tmp_path):
  # The directories of a sweep have commas in their names.
  copy = shutil.copytree(run_directory, tmp_path / 'learning_rate=1,seed=0')
  twice = _evaluate(run_directory, f'--workdir={copy}', '--split=test')
  once = _evaluate(run_directory, '--split=test')
  assert twice.returncode == 0, twice.stderr
  calibrated = re.search('.*calibrated.*\n', once.stdout)[0]
  assert twice.stdout.split() == once.stdout.replace(calibrated, '').split()
  other = shutil.copytree(run_directory, tmp_path / 'other')
  config = json.loads((other / 'config.json').read_text())
  (other / 'config.json').write_text(json.dumps({**config, 'split_seed': 1}))
  done = _evaluate(run_directory, f'--workdir={other}', '--split=test')
  assert done.returncode == 2
  assert f'{other}: its data, split_seed or fold are not' in done.stderr
