"""Runs of every model, pooling and task, untrained, and batches for them."""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import numpy as np
import pytest

import bigru_jax
from bigru_jax.config import Config
from bigru_jax.data.entities import inside_entities, marker_ids
from bigru_jax.data.text import MARKERS
from bigru_jax.data.tokenizer import VocabularyTokenizer
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.models.build import init_params, make_classifier
from bigru_jax.models.pooling import POOLINGS, poolings_that
from bigru_jax.rundir import files as run_files, published, same_run
from bigru_jax.tasks import make_task

VOCABULARY = ['<pad>', '<unk>', *MARKERS, *'abcdefghij']
KINDS = [('flat', name) for name in POOLINGS]
KINDS += [('hierarchical', name) for name in poolings_that('fits_any_states')]
KINDS += [('flat', 'additive+max+mean'), ('flat', 'entity+multi_head+last')]
KINDS += [('hierarchical', 'structured+max'), ('flat', 'max+last')]
TASKS = [
  ({}, 'xyz'),
  ({'loss': 'sigmoid'}, 'xy'),
  ({'loss': 'sigmoid'}, 'xyz'),
  ({'task': 'multi_label'}, 'xyz'),
]
# The first is the longest, and one is a padding example.
TEXTS = [[2, 7, 3, 8, 4, 9, 10, 5], [6], [4, 9, 5, 2, 7, 3], []]
DOCUMENTS = [
  [[6, 7, 8, 14, 2], [9], [10, 11]],
  [[12]],
  [],
  [[7, 7, 6], [15, 1]],
]


@dataclasses.dataclass(frozen=True)
class Batch:
  """Inputs by name in an export's order, and what the model makes of them."""

  inputs: dict[str, np.ndarray]
  outputs: dict[str, np.ndarray]


def _cases(form):
  """Every model and pooling; for ONNX with every task, else with one of them.

  What a task changes is at the end of a graph, which only ONNX writes anew. By
  default each pooling has one task, and one model is hierarchical; a StableHLO
  program, which is compiled, is only made of two poolings.
  """
  for i, (kind, (j, task)) in enumerate(
    itertools.product(KINDS, enumerate(TASKS))
  ):
    (model, pooling), (fields, labels) = kind, task
    own_task = KINDS.index(kind) % len(TASKS) == j
    if not own_task and form != 'onnx':
      continue
    fast = own_task and (model == 'flat' or pooling == 'additive')
    fast &= form != 'stablehlo' or pooling in ('additive', 'entity')
    yield pytest.param(
      {'model': model, 'pooling': pooling, 'num_layers': 1 + i % 2, **fields},
      list(labels),
      marks=[] if fast else pytest.mark.slow,
      id=f'{model}-{pooling}-{j}',
    )
  label_wise = {'task': 'multi_label', 'pooling': 'label_wise'}
  # More labels than heads, and than labels of a block.
  yield pytest.param(label_wise, [str(i) for i in range(130)], id='130 labels')
  yield pytest.param({'encoder': 'average'}, ['x', 'y'], id='average')
  yield pytest.param({'char_embeddings': True}, ['x', 'y'], id='n-grams')
  for model in ('flat', 'hierarchical'):
    sets = {'embeddings': 'a,b', 'embedding_sizes': '2,3', 'model': model}
    sets['embeddings_join'] = 'meta'
    yield pytest.param(sets, ['x', 'y'], id=f'{model}-sets')
  yield pytest.param({'loss': 'focal'}, ['x', 'y', 'z'], id='focal')
  asymmetric = {'task': 'multi_label', 'loss': 'asymmetric'}
  yield pytest.param(asymmetric, ['x', 'y', 'z'], id='asymmetric')


def pytest_generate_tests(metafunc):
  if 'run' in metafunc.fixturenames:
    form = metafunc.module.__name__.rpartition('.')[2].removesuffix('_test')
    cases = list(_cases(form))
    metafunc.parametrize('fields, labels', cases, scope='session')


def _make_run(
  workdir: Any, fields: dict[str, Any], labels: list[str]
) -> bigru_jax.Run:
  """A published model without a card, with random parameters."""
  config = Config(embedding_size=5, hidden_size=4, num_heads=2, **fields)
  tokenizer = VocabularyTokenizer('words', VOCABULARY)
  task = make_task(config, labels)
  model = make_classifier(config, len(VOCABULARY), task.num_outputs, VOCABULARY)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda p: rng.normal(0, 0.5, p.shape).astype(np.float32),
    jax.eval_shape(lambda: init_params(model, 0)),
  )
  same_run.create_or_check(
    workdir, config, labels, tokenizer, {'train': '0', 'embeddings': '1,2'}
  )
  is_multi_label = config.task == 'multi_label'
  thresholds = (0.25,) * len(labels) if is_multi_label else ()
  run_files.write_json(
    workdir / 'calibration.json',
    dataclasses.asdict(Calibration(1.5, thresholds)),
  )
  published.write_params(workdir, params)
  return bigru_jax.load(workdir)


@pytest.fixture(scope='session')
def run(fields, labels, tmp_path_factory):
  return _make_run(tmp_path_factory.mktemp('run'), fields, labels)


@pytest.fixture
def make_run(tmp_path):
  """A function of the fields and labels of a run."""
  (tmp_path / 'run').mkdir()
  return functools.partial(_make_run, tmp_path / 'run')


@pytest.fixture(scope='session')
def batches(run):
  """The texts, and a second time in another order with more padding.

  The padding of the second batch holds any tokens, and what the model makes of
  it follows from the first.
  """
  hierarchical = run.config.model == 'hierarchical'
  texts = DOCUMENTS if hierarchical else TEXTS
  order = [2, 0, 1]
  inputs = _inputs(texts, hierarchical)
  first = Batch(inputs, _outputs(run, inputs))
  again = _inputs([texts[i] for i in order], hierarchical, more=2)
  outputs = {}
  for name, array in first.outputs.items():
    padding = [(0, 0)] * array.ndim
    if name in (
      'attention_words',
      'attention_embeddings',
      'attention_sentences',
    ):
      padding[2:] = [(0, 2)] * (array.ndim - 2)
    outputs[name] = np.pad(array[order], padding)
  return [first, Batch(again, outputs)]


def _inputs(texts, hierarchical, more=0):
  """The inputs of an export, padded by `more` than needed."""
  rows = list(itertools.chain(*texts)) if hierarchical else texts
  lengths = np.array([*map(len, rows), *[0] * more * hierarchical], np.int32)
  shape = len(lengths), lengths.max() + more
  padding = np.random.default_rng(1).integers(1, len(VOCABULARY), shape)
  ids = padding.astype(np.int32) if more else np.zeros(shape, np.int32)
  for row, text in zip(ids, rows):
    row[: len(text)] = text
  inputs = {'ids': ids, 'lengths': lengths}
  if hierarchical:
    counts = np.array([len(document) for document in texts])
    most = counts.max() + more
    inputs['sentence_mask'] = np.arange(most) < counts[:, None]
  return inputs


def _outputs(run, inputs):
  batch = {
    'tokens': inputs['ids'],
    'lengths': inputs['lengths'],
    'sentence_lengths': inputs['lengths'],
    'sentence_mask': inputs.get('sentence_mask'),
    'entities': inside_entities(
      inputs['ids'], marker_ids(run.tokenizer, 'entity')
    ),
  }
  params = jax.device_get(run.params)
  found = jax.jit(run.model.apply)({'params': params}, batch)
  task = run.task
  outputs: dict[str, Any] = {'probabilities': task.probabilities(found.logits)}
  for name in ('words', 'embeddings', 'sentences'):
    if name in found.attention:
      outputs[f'attention_{name}'] = found.attention[name]
  if found.head_labels is not None:
    offset = task.num_classes - task.num_outputs
    outputs['attention_labels'] = found.head_labels + offset
  outputs['logits'] = found.logits
  return {name: np.asarray(array) for name, array in outputs.items()}
