"""run.py and plot.py as a user runs them, on the synthetic data set."""

import dataclasses
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import time

import chaos
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
import jax
from matplotlib import image
import numpy as np
import pytest
from scripts import call, command, run_command

import bigru_jax
from bigru_jax.config import Config
from bigru_jax.rundir import lock

SMALL = chaos.FLAGS


@pytest.mark.parametrize(
  'platforms, reason',
  [
    ('cuda', 'no such device'),
    pytest.param('CPU', 'JAX expects lower case: cpu', marks=pytest.mark.slow),
    pytest.param(
      'cpu,nonsense',
      "Unable to initialize backend 'nonsense'",
      marks=pytest.mark.slow,
    ),
  ],
)
def test_a_missing_backend_is_reported_in_one_line(tmp_path, platforms, reason):
  if platforms == 'cuda' and jax.default_backend() == 'gpu':
    pytest.skip('it is there')
  done = call(
    'run.py', *SMALL, f'--workdir={tmp_path}', '--verbosity=-1',
    env={**os.environ, 'JAX_PLATFORMS': platforms},
  )  # fmt: skip
  assert done.returncode == 2
  (line,) = [x for x in done.stderr.splitlines() if x.startswith('run.py: ')]
  assert line.startswith(f'run.py: JAX_PLATFORMS={platforms}: ')
  assert reason in line or platforms == 'cuda'
  assert 'Traceback' not in done.stderr


@pytest.mark.slow
def test_training_and_prediction_work_without_compilation(tmp_path):
  texts = [f'a {x} film {i}' for i in range(8) for x in ('good', 'bad')]
  config = Config(epochs=1, hidden_size=2, embedding_size=2, batch_size=16)
  corpus = {'train': (texts, ['pos', 'neg'] * 8)}
  with jax.disable_jit():
    run = bigru_jax.train(config, tmp_path, corpus)
    uncompiled = run.predict(texts[:2])
  compiled = bigru_jax.load(tmp_path).predict(texts[:2])
  for ours, expected in zip(uncompiled, compiled):
    assert ours['label'] == expected['label']
    for label, probability in expected['probabilities'].items():
      assert abs(ours['probabilities'][label] - probability) < 1e-5


@pytest.mark.slow
def test_a_full_disk_is_reported_in_one_line_by_run_and_sweep(tmp_path):
  mount = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', tmp_path]
  if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
    pytest.skip('mounting a file system needs root')
  try:
    flags = [*SMALL, '--hidden_size=64', '--embedding_size=64']
    done = call('run.py', *flags, f'--workdir={tmp_path}/run')
    assert done.returncode == 2
    logged = re.compile(r'I\d{4} ')  # Lines of the log.
    (line,) = [x for x in done.stderr.splitlines() if not logged.match(x)]
    assert line.startswith(f'run.py: workdir={tmp_path}/run: cannot save in')
    assert 'No space left on device' in line
    shutil.rmtree(tmp_path / 'run')
    done = call('sweep.py', f'--output={tmp_path}/sweep', '--', *flags)
    assert done.returncode == 2
    assert 'failed with status 2: bigru run: workdir=' in done.stderr
    assert 'No space left on device' in done.stderr
    assert 'Traceback' not in done.stderr
  finally:
    subprocess.run(['umount', '-l', tmp_path], check=True)


def test_a_run_writes_the_files_that_the_guide_lists(run_directory):
  result = json.loads((run_directory / 'result.json').read_text())
  assert set(result) == {
    'version', 'finished', 'dataset', 'best_epoch', 'best_step', 'validation',
    'test', 'train_seconds', 'examples_per_second', 'tokens_per_second',
    'compile_seconds', 'padding_fraction', 'parameters', 'save_seconds',
    'nonfinite_steps', 'temperature', 'intervals', 'test_report',
  }  # fmt: skip
  assert set(result['test']) == {
    'loss', 'accuracy', 'macro_f1', 'examples', 'ece', 'ece_calibrated',
    'roc_auc', 'roc_auc_micro', 'roc_auc_weighted', 'average_precision',
    'average_precision_micro', 'average_precision_weighted', 'mcc',
    'cohen_kappa', 'log_loss', 'brier', 'positive_f1', 'positive_precision',
    'positive_recall',
  }  # fmt: skip
  assert result['test']['examples'] == 400
  assert result['test']['accuracy'] > 0.95
  labels = json.loads((run_directory / 'labels.json').read_text())
  assert labels == ['negative', 'positive']
  vocabulary = (run_directory / 'vocabulary.txt').read_text()
  assert vocabulary.startswith('<pad>\n<unk>\n')
  identity = json.loads((run_directory / 'data.json').read_text())
  assert set(identity) == {'train', 'validation', 'test'}
  assert list(run_directory.glob('events.out.tfevents.*'))
  lines = chaos.metrics(run_directory)
  assert {line['split'] for line in lines} == {'train', 'validation', 'test'}
  best = min(
    (line for line in lines if line['split'] == 'validation'),
    key=lambda line: line['loss'],
  )
  assert result['best_epoch'] == best['epoch']
  assert result['validation']['loss'] == best['loss']


@pytest.mark.slow
def test_killed_runs_resume_to_the_same_bits(run_directory, tmp_path):
  killed = chaos.survive(tmp_path, 1, random.Random(0), longest=2)
  assert killed == 1
  assert chaos.ending(tmp_path) == chaos.ending(run_directory)


@pytest.mark.parametrize(
  'number',
  [
    'SIGTERM',
    pytest.param('SIGINT', marks=pytest.mark.slow),
    pytest.param('SIGUSR1', marks=pytest.mark.slow),
  ],
)
def test_a_signal_saves_and_exits_with_status_75(tmp_path, number):
  since = time.time()
  process = chaos.start(tmp_path)
  chaos.wait_for_training(process, tmp_path, since)
  process.send_signal(getattr(signal, number))
  log = process.communicate()[1]
  assert process.returncode == 75
  assert 'stopped at epoch 1' in log.splitlines()[-1]
  assert 'Traceback' not in log


def test_two_runs_do_not_share_a_workdir(tmp_path):
  with lock.locked(tmp_path):
    done = call('run.py', f'--workdir={tmp_path}', *SMALL)
  assert done.returncode == 2
  assert f'in use by process {os.getpid()} on' in done.stderr


def test_another_configuration_in_the_same_workdir_is_refused(run_directory):
  done = run_command('run', f'--workdir={run_directory}', *SMALL, '--seed=1')
  assert done.returncode == 2
  assert 'seed (0 there)' in done.stderr.splitlines()[-1]


def test_a_run_resumes_with_another_patience_but_not_with_other_labels(
  tmp_path,
):
  rows = [f'{"good" if i % 2 else "bad"} film {i},{i % 2}' for i in range(60)]
  (tmp_path / 'x.csv').write_text('\n'.join(['text,label', *rows]))
  flags = ['--train=x.csv', '--epochs=1', '--hidden_size=4',
           '--embedding_size=4', '--batch_size=4']  # fmt: skip
  done = run_command('run', *flags, cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  name = 'x,embedding_size=4,hidden_size=4,batch_size=4,epochs=1'
  assert [p.name for p in (tmp_path / 'runs').iterdir()] == [name]
  workdir = tmp_path / 'runs' / name
  before = chaos.metrics(workdir)
  flags += [f'--workdir={workdir}', '--patience=5']
  done = run_command('run', *flags, cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  assert 'resumes with patience=' in done.stderr
  assert json.loads((workdir / 'config.json').read_text())['patience'] == 5
  assert chaos.metrics(workdir) == before
  corrected = [*rows[:-1], rows[-1][:-1] + '0']
  (tmp_path / 'x.csv').write_text('\n'.join(['text,label', *corrected]))
  done = run_command('run', *flags, cwd=tmp_path)
  assert done.returncode == 2
  assert 'was started on other data' in done.stderr.splitlines()[-1]


def test_help_lists_every_flag_in_groups():
  done = run_command('run', '--help')
  assert done.returncode == 0
  for field in dataclasses.fields(Config):
    assert f'--{field.name}=' in done.stdout
    assert field.metadata.get('heading', '') in done.stdout


def test_a_plot_is_an_image_of_the_run(run_directory, tmp_path):
  output = tmp_path / 'run.png'
  done = run_command(
    'plot', f'--workdir={run_directory}', '--text=a good film',
    '--text=not a good film', f'--output={output}',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  pixels = image.imread(output)
  # Three panels side by side, each with something drawn in it.
  for panel in np.array_split(pixels[..., :3], 3, axis=1):
    assert (panel < 0.9).any()


def test_the_curves_of_a_plot_are_named_by_seed(run_directory, tmp_path):
  other = shutil.copytree(run_directory, tmp_path / 'other')
  config = json.loads((other / 'config.json').read_text())
  (other / 'config.json').write_text(json.dumps({**config, 'seed': 1}))
  third = shutil.copytree(run_directory, tmp_path / 'third')
  (third / 'config.json').write_text(json.dumps({**config, 'dropout': 0.0}))
  output = tmp_path / 'runs.svg'
  flags = [f'--workdir={x}' for x in (run_directory, other, third)]
  parts = (
    'loss,accuracy,learning_rate,confusion,f1,reliability,roc,'
    'precision_recall,length,heatmap'
  )
  done = run_command(
    'plot', *flags, f'--parts={parts}', '--text=a good film',
    f'--output={output}',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  content = output.read_text()
  for label in ('dropout=0.0', 'learning rate', 'F1', 'the sum of 3 runs'):
    assert f'<!-- {label} -->' in content
  assert '<!-- dropout=0.2, mean and range of 2 seeds' in content
  areas = re.findall(r'<!-- dropout=0.0 \(area (\d.\d+)\) -->', content)
  scores = json.loads((run_directory / 'diagnostics.json').read_text())
  (curve,) = scores['curves']
  assert areas == [
    f'{curve[name]:.3f}' for name in ('roc_auc', 'average_precision')
  ]
  for token in ('good', 'film'):  # A heat map of each run.
    assert content.count(f'<!-- {token} -->') == len(flags)
  path = other / 'diagnostics.json'
  for curves, message in (
    ({}, 'a run of an older version has no curves'),
    ({'curves': []}, 'only two classes or several labels have curves'),
    ({'curves': [{**curve, 'name': 'x'}]}, 'have different positive labels'),
  ):
    kept = {name: x for name, x in scores.items() if name != 'curves'}
    path.write_text(json.dumps(kept | curves))
    done = run_command('plot', *flags, '--parts=roc', f'--output={output}')
    assert done.returncode == 2 and message in done.stderr
  path.unlink()
  done = run_command('plot', *flags, '--parts=length', f'--output={output}')
  assert done.returncode == 2 and 'has no diagnostics.json' in done.stderr
  done = run_command('plot', *flags, '--parts=losses')
  assert done.returncode == 2 and 'parts=losses: choose loss' in done.stderr
  done = run_command('plot', *flags, '--parts=loss,heatmap')
  assert done.returncode == 2 and 'parts=heatmap needs a text' in done.stderr
  done = run_command('plot', *flags, flags[0], '--parts=loss')
  assert done.returncode == 2 and 'workdir: two runs have the' in done.stderr
  # As a model without a record of its training.
  (other / 'metrics.jsonl').unlink()
  flags = [f'--workdir={other}', '--parts=heatmap', '--text=a good film']
  done = run_command('plot', *flags, f'--output={output}')
  assert done.returncode == 0, done.stderr
  assert '<!-- good -->' in output.read_text()


@pytest.mark.parametrize('part', ['attention', 'heatmap'])
def test_a_plot_of_attention_needs_weights(run_directory, tmp_path, part):
  other = shutil.copytree(run_directory, tmp_path / 'other')
  config = json.loads((other / 'config.json').read_text())
  (other / 'config.json').write_text(
    json.dumps({**config, 'pooling': 'last+max'})
  )
  output = tmp_path / 'run.png'
  done = run_command(
    'plot', f'--workdir={run_directory}', f'--workdir={other}',
    f'--parts=loss,{part}', '--text=a good film', f'--output={output}',
  )  # fmt: skip
  assert done.returncode == 2 and not output.exists()
  assert (
    f'parts={part}: pooling=last+max of workdir={other} has no weights; '
    in done.stderr
  )


def test_a_dollar_sign_is_drawn_as_it_is(run_directory, tmp_path):
  workdir = tmp_path / 'run'
  workdir.mkdir()
  for path in run_directory.iterdir():
    if path.name not in ('labels.json', 'calibration.json'):
      os.symlink(path, workdir / path.name)
  (workdir / 'labels.json').write_text('["$\\\\no$", "$5^$"]')
  done = run_command(
    'plot', f'--workdir={workdir}', '--text=$a_$ good', '--text=not good',
    f'--output={tmp_path / "run.png"}',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr


def _install_font(folder, character):
  """Installs a user's font with one character, a black square."""
  pen = TTGlyphPen(None)
  pen.moveTo((0, 0))
  for corner in ((0, 900), (900, 900), (900, 0)):
    pen.lineTo(corner)
  pen.closePath()
  square = pen.glyph()
  font = FontBuilder(1000)
  font.setupGlyphOrder(['.notdef', 'square'])
  font.setupCharacterMap({ord(character): 'square'})
  font.setupGlyf({'.notdef': square, 'square': square})
  font.setupHorizontalMetrics({'.notdef': (1000, 0), 'square': (1000, 0)})
  font.setupHorizontalHeader(ascent=900, descent=-100)
  font.setupOS2()
  font.setupNameTable({'familyName': '0 Square', 'styleName': 'Regular'})
  font.setupPost()
  (folder / 'fonts').mkdir()
  font.save(folder / 'fonts' / 'square.ttf')


@pytest.mark.slow
def test_a_plot_draws_han_with_an_installed_font(run_directory, tmp_path):
  def plot(**environment):
    output = tmp_path / 'run.png'
    done = call(
      'plot.py', f'--workdir={run_directory}', '--text=好好好好 film',
      '--text=好', f'--output={output}', env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    black = (image.imread(output)[..., :3] < 0.1).all(axis=-1).sum()
    return black, done.stderr.splitlines()

  boxes, log = plot(MPL_IGNORE_SYSTEM_FONTS='1')
  assert len(log) == 1
  assert 'no installed font has 好; install one' in log[0]
  assert 'fonts-noto-cjk' in log[0]
  _install_font(tmp_path, '好')
  squares, log = plot(XDG_DATA_HOME=str(tmp_path))
  assert not log
  assert squares > boxes + 5 * 50  # Squares of some 13 x 13 pixels.


@pytest.mark.parametrize(
  'content, message',
  [
    (None, 'it has no metrics.jsonl'),
    ('', 'no epoch is finished'),
    ('{"epoch": 1, "split": "train", "loss": 1}\n', 'no epoch is finished'),
    ('{"epoch"', 'metrics.jsonl: '),
  ],
)
def test_a_run_that_cannot_be_drawn_gives_one_line_and_status_2(
  tmp_path, content, message
):
  if content is not None:
    (tmp_path / 'metrics.jsonl').write_text(content)
  done = run_command('plot', f'--workdir={tmp_path}')
  assert done.returncode == 2
  (line,) = done.stderr.splitlines()
  assert line.startswith(f'plot.py: workdir={tmp_path}: {message}')


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['--train=nowhere.csv'], 'train=nowhere.csv: no such file'),
    (['--dataset=synthetic', '--dropout=1'], 'dropout=1.0 is not below 1'),
    (
      ['--dataset=synthetic', '--batch_size=62'],  # The tests have 4 devices.
      'batch_size=62 is not a multiple of the 4 devices',
    ),
  ],
)
def test_bad_input_gives_one_line_and_status_2(tmp_path, arguments, message):
  workdir = tmp_path / 'run'
  done = run_command('run', f'--workdir={workdir}', *arguments)
  assert done.returncode == 2
  assert message in done.stderr.splitlines()[-1]
  assert 'Traceback' not in done.stderr
  assert not (workdir / 'metrics.jsonl').exists()


@pytest.mark.parametrize(
  'name, content',
  [
    ('config.json', '{"hidden_size": 1e99}'),
    ('config.json', '{"tokenizer": ["words"]}'),
    ('config.json', '[' * 9999),
    ('labels.json', '{"a": 1}'),
    ('vocabulary.txt', 'good\n'),
  ],
)
def test_a_corrupt_run_gives_one_line_and_status_2(
  run_directory, tmp_path, name, content
):
  for path in run_directory.iterdir():
    if path.name != name:
      os.symlink(path, tmp_path / path.name)
  (tmp_path / name).write_text(content)
  done = run_command('predict', f'--workdir={tmp_path}', '--text=good')
  assert done.returncode == 2
  assert name in done.stderr.splitlines()[-1]
  assert 'Traceback' not in done.stderr


def test_a_signal_during_reading_ends_the_run_at_once(tmp_path):
  fifo = tmp_path / 'train'  # A pipe that nobody writes to.
  os.mkfifo(fifo)
  process = subprocess.Popen(
    command('run.py', f'--train={fifo}', f'--workdir={tmp_path / "run"}'),
    stderr=subprocess.PIPE,
    text=True,
  )
  while not (tmp_path / 'run' / 'lock').exists():
    time.sleep(0.05)
  time.sleep(0.5)
  process.terminate()
  log = process.communicate(timeout=20)[1]
  assert process.returncode == 75
  assert 'stopped before training started' in log.splitlines()[-1]


@pytest.mark.slow
def test_inputs_may_be_a_pipe_a_pattern_and_a_tilde(tmp_path):
  home = tmp_path / 'home'
  home.mkdir()
  for part in (1, 2):
    lines = [f'film {i},{i % 2}' for i in range(40 * part, 40 * part + 40)]
    (home / f'part-{part}.csv').write_text('\n'.join(['text,label', *lines]))
  script = shlex.join(command('run.py', *SMALL[1:], '--epochs=1'))
  done = subprocess.run(
    ['bash', '-c', f"{script} --train='~/part-*.csv' --workdir=~/run "
     f'--test=<(cat ~/part-1.csv)'],
    env={**os.environ, 'HOME': str(home)},
    capture_output=True,
    text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert '72 rows' in done.stderr and 'test: 40 rows' in done.stderr
  assert (home / 'run' / 'result.json').exists()


@pytest.mark.slow
def test_too_little_memory_is_reported_in_one_line(tmp_path):
  done = run_command(
              'run', '--dataset=synthetic', '--hidden_size=1000000',
              f'--workdir={tmp_path}')  # fmt: skip
  assert done.returncode == 2
  assert done.stderr.splitlines()[-1] == (
    'run.py: out of memory: try a lower batch_size, hidden_size, max_length or '
    'max_sentences'
  )
