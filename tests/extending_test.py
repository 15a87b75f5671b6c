"""The examples of docs/extending.md, whose runs go through every command."""

import contextlib
import inspect
import json
import pathlib
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scripts import run_command

import bigru_jax
from bigru_jax import losses, metrics, optimizers
from bigru_jax.data import corpora, text
from bigru_jax.metrics import METRICS
from bigru_jax.models import pooling
from bigru_jax.ops import gru
from bigru_jax.reports.page.page import data_of
from bigru_jax.reports.records import read_metrics
from bigru_jax.training import fit, state, step, train

PAGE = pathlib.Path(__file__).parents[1] / 'docs' / 'extending.md'
DICTS = (
  corpora.CORPORA, gru.IMPLEMENTATIONS, losses.LOSSES, metrics.METRICS,
  optimizers.OPTIMIZERS, optimizers.SCHEDULES, pooling.POOLINGS,
  text.TOKENIZERS,
)  # fmt: skip
TEXTS = [
  'A good film, 10 of 10',
  'a bad film',
  'not good',
  'not a bad plot',
] * 4
LABELS = ['positive', 'negative', 'negative', 'positive'] * 4
CORPUS = dict.fromkeys(('train', 'validation', 'test'), (TEXTS, LABELS))
SIZES = {'epochs': 1, 'embedding_size': 4, 'hidden_size': 4, 'batch_size': 8}
# By the heading of a section, the fields of a run that uses its example.
RUNS = {
  'A pooling': {'pooling': 'gated'},
  'A loss': {'loss': 'poly'},
  'A metric': {'select_by': 'balanced_accuracy'},
  'A tokenizer': {'tokenizer': 'digits'},
  'A data set': {'dataset': 'subj'},
  'An optimizer, a schedule': {
    'optimizer': 'lion', 'schedule': 'halving', 'weight_decay': 0.1,
  },
}  # fmt: skip


def _blocks(language):
  """The code blocks of a language, by the heading of their section."""
  blocks = {}
  for section in PAGE.read_text('utf-8').split('\n## ')[1:]:
    heading, content = section.split('\n', 1)
    found = re.findall(rf'```{language}\n(.*?)```', content, re.DOTALL)
    if found:
      blocks[heading] = found
  return blocks


@contextlib.contextmanager
def _examples(headings):
  """Runs the examples of sections, and removes their entries at the end."""
  before = [dict(entries) for entries in DICTS]
  try:
    for heading in headings:
      (block,) = _blocks('python')[heading]
      exec(compile(block, heading, 'exec'), {'__name__': 'example'})
    yield
  finally:
    for entries, old in zip(DICTS, before):
      entries.clear()
      entries.update(old)


def test_every_example_is_run_here():
  assert {*RUNS, 'Another implementation of the recurrence'} == set(
    _blocks('python')
  )
  assert set(_blocks('diff')) == {'A field of the train state'}


@pytest.fixture(
  scope='module',
  params=[
    pytest.param(list(RUNS), id='all at once'),
    *(pytest.param([x], id=x, marks=pytest.mark.slow) for x in RUNS),
  ],
)
def workdir(request, tmp_path_factory):
  """The directory of a run that uses the examples of some sections."""
  folder = tmp_path_factory.mktemp('extended')
  fields = {**SIZES}
  for heading in request.param:
    fields |= RUNS[heading]
  if 'dataset' in fields:
    fields['data_dir'] = folder
    for name in ('plot', 'quote'):
      lines = ''.join(f'{line} {name} caf\xe9\n' for line in TEXTS)
      (folder / f'{name}.tok.gt9.5000').write_text(lines, 'latin-1')
  else:
    rows = [f'"{line}",{label}' for line, label in zip(TEXTS, LABELS)]
    (folder / 'texts.csv').write_text('\n'.join(['text,label', *rows]))
    for split in ('train', 'validation', 'test'):
      fields[split] = folder / 'texts.csv'
  flags = [f'--{name}={value}' for name, value in fields.items()]
  with _examples(request.param):
    _call('run', *flags, f'--workdir={folder / "run"}')
    yield folder / 'run'


def _call(name, *flags):
  """Runs a command and returns what it prints."""
  done = run_command(name, *flags)
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_every_command_takes_a_run_that_uses_an_example(workdir):
  of_run = f'--workdir={workdir}'
  answer = json.loads(_call('predict', of_run, f'--text={TEXTS[0]}'))
  (weights,) = answer['attention']['words']
  assert len(weights) == len(answer['tokens'])
  assert np.isclose(sum(weights), 1)
  metrics = _call('evaluate', of_run, '--split=test')
  evaluated = [x for x in read_metrics(workdir) if x['split'] != 'train']
  for name, metric in METRICS.items():
    if metric.of_confusion and not metric.on_request:
      assert name in metrics and all(name in line for line in evaluated)
  output = workdir / 'page.html'
  _call('report', of_run, f'--text={TEXTS[0]}', f'--output={output}')
  assert data_of(output)['texts']['text'] == TEXTS[:1]
  assert len(data_of(workdir / 'report.html')['texts']['text']) >= 3
  pytest.importorskip('onnx')
  onnxruntime = pytest.importorskip('onnxruntime')
  output = workdir / 'model.onnx'
  _call('export', of_run, f'--output={output}')
  session = onnxruntime.InferenceSession(output.read_bytes())
  _, ids = bigru_jax.load(workdir).tokenizer.encode(TEXTS[0])
  inputs = {'ids': np.int32([ids]), 'lengths': np.int32([len(ids)])}
  probabilities, exported_weights, _ = session.run(None, inputs)
  expected = list(answer['probabilities'].values())
  np.testing.assert_allclose(probabilities[0], expected, atol=1e-5)
  np.testing.assert_allclose(exported_weights[0, 0], weights, atol=1e-5)


@pytest.mark.slow
def test_a_run_that_uses_an_example_is_explained(workdir):
  flags = ['--limit=4', '--adversarial_texts=2', '--diagnostic_texts=4']
  _call('explain', f'--workdir={workdir}', *flags)
  explanation = json.loads((workdir / 'explain-test.json').read_text())
  assert explanation['table'] and 'gradient' in explanation['attributions']
  assert data_of(workdir / 'report.html')['explain']['table']


@pytest.mark.slow
def test_a_run_that_uses_an_example_is_exported_to_stablehlo(workdir):
  output = workdir / 'program.stablehlo'
  flags = ['--format=stablehlo', f'--output={output}']
  _call('export', f'--workdir={workdir}', *flags)
  run = bigru_jax.load(workdir)
  _, ids = run.tokenizer.encode(TEXTS[0])
  exported = jax.export.deserialize(output.read_bytes())
  outputs = exported.call(np.int32([ids]), np.int32([len(ids)]))
  expected = list(run.predict(TEXTS[:1])[0]['probabilities'].values())
  np.testing.assert_allclose(outputs['probabilities'][0], expected, atol=1e-5)


def test_an_implementation_of_the_recurrence_can_be_added():
  rng = np.random.default_rng(0)
  params = gru.GRUParams(
    *(
      jnp.asarray(rng.normal(size=shape), jnp.float32)
      for shape in ((2, 12, 3), (2, 12, 4), (2, 12), (2, 4))
    )
  )
  x = jnp.asarray(rng.normal(size=(2, 5, 3)), jnp.float32)
  mask = jnp.arange(5) < jnp.array([5, 2])[:, None]

  def states(implementation):
    return gru.bidirectional_gru(
      x, mask, params, implementation=implementation
    )[0]

  with _examples(['Another implementation of the recurrence']):
    recomputed = states('recomputed')
  np.testing.assert_allclose(recomputed, states('reference'), atol=1e-6)


def test_a_field_can_be_added_to_the_train_state(monkeypatch, tmp_path):
  blocks = _blocks('diff')['A field of the train state']
  for module, name in ((state, 'TrainState'), (step, 'make_train_step')):
    source, old = inspect.getsource(module), getattr(module, name)
    for block in blocks:
      added, after = block.rsplit('\n ', 1)
      lines = ''.join(line[1:] + '\n' for line in added.splitlines())
      source = source.replace(f'\n{after}', f'\n{lines}{after}')
    names = {'__name__': module.__name__}
    exec(compile(source, module.__file__, 'exec'), names)
    for other in list(sys.modules.values()):
      is_ours = getattr(other, '__name__', '').startswith('bigru_jax')
      if is_ours and vars(other).get(name) is old:
        monkeypatch.setattr(other, name, names[name])
  trainers = []

  def fit_and_keep(trainer, *arguments):
    trainers.append(trainer)
    return fit.fit(trainer, *arguments)

  monkeypatch.setattr(train, 'fit', fit_and_keep)
  bigru_jax.train(bigru_jax.Config(**SIZES), tmp_path, CORPUS)
  (trainer,) = trainers
  assert trainer.state.largest_norm > 0  # As the best checkpoint gives it back.
