"""The examples of docs/extending.md, each in a run from training to export."""

import inspect
import pathlib
import re
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import bigru_jax
from bigru_jax import losses, metrics, optimizers
from bigru_jax.data import corpora, text
from bigru_jax.data.prepare import prepare
from bigru_jax.explain.attributions import attribute
from bigru_jax.explain.predictions import sampled
from bigru_jax.explain.study import study
from bigru_jax.interop.stablehlo import to_stablehlo
from bigru_jax.models import pooling
from bigru_jax.ops import gru
from bigru_jax.reports.page import data_of
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
  'A pooling': {'attention': 'gated'},
  'A loss': {'loss': 'focal'},
  'A metric': {'select_by': 'balanced_accuracy'},
  'A tokenizer': {'tokenizer': 'digits'},
  'A data set': {'dataset': 'subj'},
  'An optimizer, a schedule': {
    'optimizer': 'lion', 'schedule': 'halving', 'weight_decay': 0.1,
  },
}  # fmt: skip


def _blocks(language):
  """The code in a language by the heading of the section that it is in."""
  blocks = {}
  for section in PAGE.read_text('utf-8').split('\n## ')[1:]:
    heading, content = section.split('\n', 1)
    found = re.findall(rf'```{language}\n(.*?)```', content, re.DOTALL)
    if found:
      blocks[heading] = found
  return blocks


@pytest.fixture
def add_example():
  """Runs the example of a section; its entries are gone after the test."""
  before = [dict(entries) for entries in DICTS]

  def add(heading):
    (block,) = _blocks('python')[heading]
    exec(compile(block, heading, 'exec'), {'__name__': 'example'})

  yield add
  for entries, old in zip(DICTS, before):
    entries.clear()
    entries.update(old)


def test_every_example_is_run_here():
  assert {*RUNS, 'Another implementation of the recurrence'} == set(
    _blocks('python')
  )
  assert set(_blocks('diff')) == {'A field of the train state'}


@pytest.fixture
def trained(add_example, tmp_path):
  """A function of a heading: the run of its example, and the run's data."""

  def make(heading):
    add_example(heading)
    fields, corpus = {**SIZES, **RUNS[heading]}, CORPUS
    if 'dataset' in fields:
      for name in ('plot', 'quote'):
        lines = ''.join(f'{text} {name} caf\xe9\n' for text in TEXTS)
        (tmp_path / f'{name}.tok.gt9.5000').write_text(lines, 'latin-1')
      fields, corpus = {**fields, 'data_dir': str(tmp_path)}, None
    config = bigru_jax.Config(**fields)
    workdir = tmp_path / 'run'
    bigru_jax.train(config, workdir, corpus)
    return bigru_jax.load(workdir), prepare(config, corpus)

  return make


@pytest.mark.parametrize('heading', list(RUNS))
def test_an_example_is_trained_and_predicts_evaluates_and_explains(
  heading, trained
):
  run, data = trained(heading)
  answers = run.predict(TEXTS)
  for answer in answers:
    (weights,) = answer['attention']['words']
    assert len(weights) == len(answer['tokens'])
  gold = [run.labels[i % 2] for i in range(len(TEXTS))]
  evaluation = run.evaluate(TEXTS, gold)
  assert 0 <= evaluation['accuracy'] <= 1 and np.isfinite(evaluation['loss'])
  if 'select_by' in RUNS[heading]:
    assert evaluation['balanced_accuracy'] == evaluation['macro']['recall']
    assert all('balanced_accuracy' in x for x in read_metrics(run.workdir)[1:])
  page = data_of(run.workdir / 'report.html')
  assert len(page['texts']['text']) == len(data.splits['test'])
  split = sampled(data.splits['test'], 4, seed=0)
  weights = attribute(run.model, run.task, run.params, split, ['attention'])
  assert all(np.isclose(x.sum(), 1) for x in weights['attention'])
  _check_onnx(run)


def _check_onnx(run):
  """That the run in ONNX Runtime gives its own answer."""
  pytest.importorskip('onnx')
  onnxruntime = pytest.importorskip('onnxruntime')
  from bigru_jax.interop.onnx import to_onnx

  session = onnxruntime.InferenceSession(to_onnx(run).SerializeToString())
  answer = run.predict(TEXTS[:1])[0]
  _, ids = run.tokenizer.encode(TEXTS[0])
  probabilities, weights, _ = session.run(
    None, {'ids': np.int32([ids]), 'lengths': np.int32([len(ids)])}
  )
  expected = list(answer['probabilities'].values())
  np.testing.assert_allclose(probabilities[0], expected, atol=1e-5)
  np.testing.assert_allclose(
    weights[0], answer['attention']['words'], atol=1e-5
  )


@pytest.mark.slow
@pytest.mark.parametrize('heading', list(RUNS))
def test_an_example_is_tested_for_faithfulness_and_exported_to_stablehlo(
  heading, trained
):
  run, data = trained(heading)
  split = sampled(data.splits['test'], 4, seed=0)
  table, attributions = study(
    run.model, run.task, run.params, run.labels, split, adversarial_texts=2
  )
  assert table and 'attention' in attributions
  answer = run.predict(TEXTS[:1])[0]
  _, ids = run.tokenizer.encode(TEXTS[0])
  exported = to_stablehlo(run).call(np.int32([ids]), np.int32([len(ids)]))
  expected = list(answer['probabilities'].values())
  np.testing.assert_allclose(exported['probabilities'][0], expected, atol=1e-5)


def test_an_implementation_of_the_recurrence(add_example):
  add_example('Another implementation of the recurrence')
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

  np.testing.assert_allclose(
    states('recomputed'), states('reference'), atol=1e-6
  )


def test_a_field_of_the_train_state(monkeypatch, tmp_path):
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
