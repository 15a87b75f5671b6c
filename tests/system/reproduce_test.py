"""The rows of papers: their recipes, runs, results and tables."""

import io
import json
import pathlib
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas
import paper_data
from paper_data import FIXTURES, SMALL
import pytest
from scripts import ROOT, call, command, run_command

import bigru_jax
from bigru_jax.cli import planned_runs
from bigru_jax.data.corpora import cachopo
from experiments.papers import plans, results as recorded, tables
from experiments.papers.papers import ROWS

RECIPES = ROOT / 'experiments' / 'papers' / 'recipes'


@pytest.fixture
def data(tmp_path):
  paper_data.write(tmp_path / 'data')
  return tmp_path / 'data'


def _flags(folder, *flags, others=SMALL):
  """The flags of a reproduction with all its folders in one folder."""
  return [
    f'--data_root={folder / "data"}', f'--output={folder / "runs"}', *flags,
    *(['--', *others] if others else []),
  ]  # fmt: skip


def _reproduce(folder, *flags, others=SMALL):
  return call(
    'reproduce.py', *_flags(folder, *flags, others=others), cwd=folder
  )


def _cells(table):
  """The cells of a Markdown table by its head."""
  head, _, *body = [
    [cell.strip() for cell in line.strip('| ').split(' | ')]
    for line in table.splitlines()
    if line.startswith('|')
  ]
  return [dict(zip(head, line)) for line in body]


@pytest.mark.slow
def test_two_rows_are_reproduced_over_two_seeds(tmp_path, data):
  flags = ['--rows=trec,sst2,imdb', '--seeds=0-1']
  before = recorded.read_all(recorded.RESULTS)
  done = _reproduce(tmp_path, *flags)
  assert done.returncode == 1, done.stderr  # For imdb is not at hand.
  assert 'imdb: skipped: ' in done.stderr
  assert done.stdout == (tmp_path / 'runs' / 'reproduce.md').read_text()
  results = tmp_path / 'runs' / 'results'
  found = json.loads((results / 'trec.json').read_text())
  assert set(found) == {
    'row', 'dataset', 'protocol', 'metric', 'mean', 'std', 'n', 'runs',
    'identity', 'hardware', 'minutes',
  }  # fmt: skip
  assert found['row'] == found['dataset'] == 'trec' and found['n'] == 2
  tested = []
  for run in found['runs']:
    workdir = tmp_path / 'runs' / f'trec,seed={run["seed"]}'
    result = json.loads((workdir / 'result.json').read_text())
    assert {'validation': run['validation'], 'test': run['test']} == {
      split: result[split] for split in ('validation', 'test')
    }
    assert run['fold'] == 0 and run['train_seconds'] == result['train_seconds']
    assert run['commit'] == recorded.commit()
    assert {'--epochs=1', '--data_dir=DIR/trec'} <= set(run['flags'])
    assert str(tmp_path) not in ' '.join(run['flags'])
    tested.append(result['test']['accuracy'])
  assert found['mean'] == pytest.approx(np.mean(tested))
  assert found['std'] == pytest.approx(np.std(tested, ddof=1))
  lines = _cells(done.stdout)
  papers = sum(len(ROWS[row].published) for row in ('trec', 'sst2', 'imdb'))
  assert len(lines) == papers
  for line, paper in zip(lines, ROWS['trec'].published):
    assert line['paper'] == paper.paper
    assert f'{100 * paper.value:.1f}' in line['published']
    assert line['mine'] == (
      f'{100 * found["mean"]:.2f} ± {100 * found["std"]:.2f} (n = 2)'
    )
    difference = 100 * (found['mean'] - paper.value)
    assert line['mine minus published'] == f'{difference:+.2f}'
    assert found['hardware'] in line['minutes, on']
  assert (results / 'sst2.json').exists()
  assert recorded.read_all(recorded.RESULTS) == before
  # The same command repeats nothing.
  logs = {p: p.read_bytes() for p in (tmp_path / 'runs').glob('*/log.txt')}
  assert len(logs) == 4
  again = _reproduce(tmp_path, *flags)
  assert again.returncode == 1 and again.stdout == done.stdout
  assert all(path.read_bytes() == log for path, log in logs.items())
  # Other settings are other runs, also those that could resume.
  other = _reproduce(tmp_path, *flags, others=[*SMALL, '--patience=9'])
  assert other.returncode == 2
  assert 'holds a run of other settings: patience' in other.stderr
  # Where the data have gone, the result is still shown.
  shutil.rmtree(data / 'trec')
  gone = _cells(_reproduce(tmp_path, '--rows=trec').stdout)
  assert gone[0]['mine'].startswith(f'{lines[0]["mine"]}; skipped: ')


@pytest.mark.slow
def test_a_killed_reproduction_resumes(tmp_path, data):
  flags = [f'--data_root={data}', f'--output={tmp_path / "runs"}',
           '--rows=trec', '--seeds=0-2']  # fmt: skip
  line = command('reproduce.py', *flags, '--', *SMALL)
  process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
  first = tmp_path / 'runs' / 'trec,seed=0' / 'result.json'
  deadline = time.monotonic() + 120
  while not first.exists():
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.05)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert not list(tmp_path.glob('runs/results/*.json'))
  written = first.stat().st_mtime_ns
  done = subprocess.run(line, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
  assert first.stat().st_mtime_ns == written
  found = json.loads((tmp_path / 'runs/results/trec.json').read_text())
  assert [run['seed'] for run in found['runs']] == [0, 1, 2]


@pytest.mark.slow
def test_a_failed_run_is_named_and_other_rows_are_run(tmp_path, data):
  (data / 'trec' / 'TREC_10.label').write_text('How ?\n')
  done = _reproduce(tmp_path, '--rows=trec,sst2', '--seeds=0')
  assert done.returncode == 1
  lines = _cells(done.stdout)
  assert lines[0]['mine'].startswith('trec,seed=0 failed: bigru run: data_dir=')
  assert 'TREC_10.label, row 1: no COARSE:fine label' in lines[0]['mine']
  assert lines[-1]['mine'].endswith('(n = 1)')
  results = tmp_path / 'runs' / 'results'
  assert [path.name for path in results.iterdir()] == ['sst2.json']


def _write_finished(workdir, run, accuracy):
  """The files of a finished run that was never trained."""
  workdir.mkdir(parents=True)
  config = vars(planned_runs.config_of(run.flags))
  scores = {'accuracy': accuracy}
  result = {'validation': scores, 'test': scores, 'train_seconds': 60.0}
  (workdir / 'config.json').write_text(json.dumps(config))
  (workdir / 'data.json').write_text('{}')
  (workdir / 'result.json').write_text(json.dumps(result))


def test_own_results_are_beside_the_recorded_ones(tmp_path, data, monkeypatch):
  vectors = plans.find_vectors(data, None)
  for run in plans.plan(ROWS['trec'], data, vectors, None, []):
    workdir = tmp_path / 'runs' / run.name
    _write_finished(workdir, run, 0.9 + run.seed / 100)
  before = {path: path.read_bytes() for path in recorded.RESULTS.glob('*.json')}
  done = {
    form: run_command(
      'reproduce',
      *_flags(tmp_path, '--rows=trec', f'--format={form}', others=()),
    )
    for form in ('markdown', 'json', 'csv', 'latex')
  }
  assert all(x.returncode == 0 for x in done.values()), done['csv'].stderr
  table = tmp_path / 'runs' / 'reproduce.md'
  assert table.read_text() == done['markdown'].stdout
  record = recorded.read_all(recorded.RESULTS)['trec']
  line, numbers = _cells(table.read_text())[0], json.loads(done['json'].stdout)
  paper = ROWS['trec'].published[0]
  assert line['mine'] == '91.00 ± 1.00 (n = 3)'
  assert line['mine minus published'] == f'{91 - 100 * paper.value:+.2f}'
  assert line['mine minus recorded'] == f'{91 - 100 * record["mean"]:+.2f}'
  assert numbers[0]['recorded_mean'] == record['mean']
  assert numbers[0]['mine_mean'] == pytest.approx(0.91)
  assert numbers[0]['row'] == 'trec' and numbers[0]['note'] is None
  rows = pandas.read_csv(io.StringIO(done['csv'].stdout))
  assert rows.published.tolist() == [x.value for x in ROWS['trec'].published]
  assert r'91.00 $\pm$ 1.00 (n = 3) & ' in done['latex'].stdout
  # Only a maintainer's flag writes what is recorded.
  for path, content in before.items():
    assert path.read_bytes() == content
  monkeypatch.setattr(recorded, 'RESULTS', tmp_path / 'recorded')
  (tmp_path / 'recorded').mkdir()
  flags = _flags(tmp_path, '--rows=trec', '--record', others=())
  assert run_command('reproduce', *flags).returncode == 0
  (path,) = (tmp_path / 'recorded').iterdir()
  assert path.read_bytes() == (tmp_path / 'runs/results/trec.json').read_bytes()


def test_each_fold_counts_once_over_its_seeds(tmp_path, data):
  flags = _flags(tmp_path, '--rows=mr', '--print_commands')
  printed = run_command('reproduce', *flags, cwd=tmp_path)
  assert printed.returncode == 0, printed.stderr
  assert len(printed.stdout.splitlines()) == 10  # One seed by default.
  assert '--folds=10 --fold=9' in printed.stdout.splitlines()[9]
  planned = planned_runs.plan('mr', ['--dataset=mr'], [0, 1], 10)
  for run in planned:
    accuracy = run.fold / 10 + run.seed / 100
    _write_finished(tmp_path / 'made' / run.name, run, accuracy)
  found = recorded.make(ROWS['mr'], tmp_path / 'made', planned, '')
  assert found['n'] == 10 and found['minutes'] == 20
  assert found['mean'] == pytest.approx(0.455)
  assert found['std'] == pytest.approx(np.std(np.arange(10) / 10, ddof=1))
  assert found['hardware'] is None and found['runs'][0]['commit'] is None
  changed = tmp_path / 'made' / planned[-1].name / 'data.json'
  changed.write_text('{"train": "another digest"}')
  with pytest.raises(ValueError, match='seed=1,fold=9 has read other data'):
    recorded.make(ROWS['mr'], tmp_path / 'made', planned, '')


def test_missing_data_are_named_with_their_folder_and_source(tmp_path):
  (tmp_path / 'data' / 'trec').mkdir(parents=True)
  flags = _flags(tmp_path, '--rows=trec,r8', others=[])
  done = run_command('reproduce', *flags, cwd=tmp_path)
  assert done.returncode == 1, done.stderr
  lines = _cells(done.stdout)
  trec, r8 = lines[0], lines[len(ROWS['trec'].published)]
  folder = tmp_path / 'data'
  assert trec['mine'] == (
    f'skipped: {folder / "trec"} lacks train_5500.label, TREC_10.label, from '
    f'{ROWS["trec"].source}'
  )
  assert trec['mine minus recorded'] == '–'
  assert trec['published'] == '93.0 (quoted)'
  record = recorded.read_all(recorded.RESULTS)['trec']
  assert trec['recorded'].startswith(f'{100 * record["mean"]:.2f} ± ')
  assert r8['mine'].startswith(
    f'skipped: there is no {folder}/glove/glove.6B.100d.txt, from https://'
  )
  warned = done.stderr.splitlines()
  assert 'trec: skipped: ' in warned[0] and 'r8: skipped: ' in warned[1]
  assert not list((tmp_path / 'runs' / 'results').iterdir())


@pytest.mark.parametrize(
  'flags, others, message',
  [
    (['--rows=trek'], SMALL, "rows='trek': choose all, or mr, "),
    (['--rows=trec'], ['--seed=1'], 'seed is set after --: see seeds, output'),
    (['--rows=trec'], ['--hidden=1'], "Unknown command line flag 'hidden'"),
    (['--rows=trec', '--record'], SMALL, 'record needs the runs of the rows'),
    (['--rows=trec', '--record', '--seeds=0'], [], 'record needs the runs'),
    (['--rows=trec', '--vectors=no'], SMALL, '/no: no such file'),
  ],
)  # fmt: skip
def test_a_wrong_command_starts_nothing(tmp_path, data, flags, others, message):
  flags = _flags(tmp_path, *flags, others=others)
  done = run_command('reproduce', *flags, cwd=tmp_path)
  assert done.returncode == 2, done.stdout
  assert message in done.stderr and len(done.stderr.splitlines()) == 1
  assert not list(tmp_path.glob('runs/*'))


def test_tables_and_comments_are_those_of_the_results():
  # Where it fails: python experiments/reproduce.py --tables
  for path, text in tables.generated(recorded.RESULTS).items():
    assert path.read_text('utf-8') == text, path


# Rows whose data were not available.
_NOT_RUN = {
  'glue_sst2', 'yelp_polarity', 'yelp_2013', 'yelp_2015', 'yahoo_answers',
  'amazon_reviews',
}  # fmt: skip


def test_results_describe_their_rows():
  assert recorded.read_all(recorded.RESULTS).keys() == ROWS.keys() - _NOT_RUN
  for name, record in recorded.read_all(recorded.RESULTS).items():
    row = ROWS[name]
    assert record['protocol'] == row.protocol
    assert record['metric'] == row.metric
    scores = {}
    recipe = planned_runs.config_of(plans.recipe_flags(row))
    for run in record['runs']:
      # The vectors' sizes would be read from their files.
      flags = [x for x in run['flags'] if not x.startswith('--embeddings=')]
      config = planned_runs.config_of(flags)
      differing = {'seed', 'folds', 'fold', *row.paths}
      assert set(config.differing_fields(recipe)) <= differing
      key = run['fold'] if row.folds else run['seed']
      scores.setdefault(key, []).append(run[row.split][row.metric])
      assert re.fullmatch('[0-9a-f]{40}', run['commit'])
    assert record['n'] == len(scores) >= 3
    mean = np.mean([np.mean(values) for values in scores.values()])
    assert record['mean'] == pytest.approx(mean)


def _record(name, scores):
  """A result over folds that was never run."""
  return {
    'row': name, 'dataset': 'movie_reviews', 'protocol': 'folds',
    'metric': 'accuracy', 'mean': float(np.mean(scores)), 'std': 0.01,
    'n': len(scores), 'hardware': 'an abacus', 'minutes': 2.5,
    'runs': [
      {
        'seed': 0, 'fold': fold, 'validation': {'accuracy': score},
        'test': {'accuracy': score}, 'train_seconds': 60.0, 'flags': [],
        'commit': None,
      }
      for fold, score in enumerate(scores)
    ],
  }  # fmt: skip


def test_a_new_result_reaches_the_tables(tmp_path):
  for name in ('README.md', 'docs/results.md', 'experiments/papers/recipes'):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
    copy(ROOT / name, tmp_path / name)
  results = tmp_path / 'results'
  results.mkdir()
  for name, scores in (
    ('movie_reviews', [0.81, 0.83, 0.88]),
    ('movie_reviews_flat', [0.80, 0.81, 0.84]),
    ('trec', [0.81, 0.83, 0.88]),
  ):
    path = results / f'{name}.json'
    path.write_text(json.dumps(_record(name, scores)))
  changed = tables.write_tables(results, tmp_path)
  assert {str(path.relative_to(tmp_path)) for path in changed} >= {
    'README.md', 'docs/results.md',
    'experiments/papers/recipes/movie_reviews.flags',
  }  # fmt: skip
  assert tables.write_tables(results, tmp_path) == []
  for name in ('README.md', 'docs/results.md'):
    assert '| 84.00 ± 1.00 (n = 3) |' in (tmp_path / name).read_text()
  full = (tmp_path / 'docs' / 'results.md').read_text()
  assert '2.5, an abacus' in full
  # The same folds, one minus the other.
  assert '| movie_reviews_flat | 0.0233 ± 0.0153 (n = 3) |' in full
  recipe = (
    tmp_path / 'experiments/papers/recipes/movie_reviews.flags'
  ).read_text()
  assert 'Expected: test accuracy 84.00 ± 1.00 (n = 3)' in recipe
  assert recipe.endswith(
    (RECIPES / 'movie_reviews.flags').read_text().partition('\n\n')[2]
  )
  (results / 'trec.json').write_text('{"row": "r8"}')
  with pytest.raises(
    ValueError, match='json is not a result: it has the row r8'
  ):
    recorded.read_all(results)


def test_every_flagfile_is_a_row_or_a_part_of_one():
  files = {path.stem for path in RECIPES.glob('*.flags')}
  included = {
    pathlib.Path(line.partition('=')[2]).stem
    for path in RECIPES.glob('*.flags')
    for line in path.read_text().splitlines()
    if line.startswith('--flagfile=')
  }
  pretrained = {pathlib.Path(row.init_from).name for row in ROWS.values()}
  assert files == ROWS.keys() | included | pretrained - {''}


@pytest.mark.parametrize('name', ROWS)
def test_a_recipe_is_the_same_for_run_py_at_the_root(
  name, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  here = planned_runs.config_of(plans.recipe_flags(ROWS[name]))
  monkeypatch.chdir(ROOT)
  file = f'--flagfile=experiments/papers/recipes/{name}.flags'
  assert planned_runs.config_of([file]) == here
  assert here.differing_fields()


def _made_up_data(config, data, monkeypatch):
  """Writes a folder of made-up data in the form that a recipe reads."""
  if config.dataset.startswith('tfds:'):
    name = config.dataset.removeprefix('tfds:').partition('/')[0]
    paper_data.prepare_tfds(data / 'tfds', name)
    return data / 'tfds'
  if config.dataset in ('reuters_r8', 'reuters_r52', 'newsgroups20'):

    def member(requirement, name):
      part = 'train' if 'train' in name else 'test'
      path = data / f'{part}.tab'
      paper_data.grow(
        FIXTURES / 'cachopo' / f'reuters-r8-{part}.tab', path, header=4
      )
      return path.read_bytes()

    monkeypatch.setattr(cachopo, 'read_member', member)
    return data
  if config.dataset in ('sst1', 'sst2'):
    return data / 'sst' / 'trees'
  folder = data / config.dataset
  if not folder.is_dir():
    paper_data.write_dataset(config.dataset, folder)
  return folder


@pytest.mark.slow
@pytest.mark.parametrize('name', ROWS)
def test_a_recipe_trains(name, data, tmp_path, monkeypatch):
  own = planned_runs.config_of(plans.recipe_flags(ROWS[name]))
  run_flags = [*plans.recipe_flags(ROWS[name]), *SMALL]
  folder = _made_up_data(own, data, monkeypatch)
  if ROWS[name].folder:
    run_flags.append(f'--data_dir={folder}')
  if ROWS[name].vectors:
    run_flags.append(f'--embeddings={data / "glove" / "glove.6B.100d.txt"}')
  config = planned_runs.config_of(run_flags)
  run = bigru_jax.train(config, tmp_path / 'run')
  result = json.loads((run.workdir / 'result.json').read_text())
  assert 0 <= result[ROWS[name].split][ROWS[name].metric] <= 1
  log = (run.workdir / 'metrics.jsonl').read_text().splitlines()
  assert max(json.loads(line)['step'] for line in log) >= 2
