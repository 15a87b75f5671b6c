"""The steps of a run, compiled for devices that are not there."""

import math

import jax
import numpy as np
import pytest

import bigru_jax
from bigru_jax.compilation import steps, targets
from bigru_jax.data.prepare import prepare
from bigru_jax.training.program import build_program

SIZES = {'batch_size': 32, 'embedding_size': 16, 'hidden_size': 24}
# Every model, pooling, task and dtype at least once for GPUs and for TPUs.
RUNS = [
  ('a100', {'pooling': 'multi_head', 'dtype': 'bfloat16'}),
  ('h100', {'model': 'hierarchical', 'pooling': 'mean', 'dtype': 'bfloat16'}),
  ('h200', {'pooling': 'label_wise', 'task': 'multi_label'}),
  ('b200', {'pooling': 'max', 'num_layers': 2}),
  ('h100', {'pooling': 'entity', 'dtype': 'bfloat16'}),
  ('a100x4', {'model': 'hierarchical', 'pooling': 'dot'}),
  ('h100x4', {'recurrent_dropout': 0.3, 'adversarial': 0.5}),
  ('h200x4', {'pooling': 'structured', 'task': 'multi_label'}),
  ('b200x4', {'pooling': 'last', 'ema_decay': 0.9, 'r_drop': 1.0}),
  ('v5e:1x1', {'model': 'hierarchical', 'pooling': 'mean'}),
  ('v5e:2x2', {'recurrent_dropout': 0.3, 'adversarial': 0.5}),
  ('v5e:2x4', {'pooling': 'multi_head', 'task': 'multi_label'}),  # Two hosts.
  ('v6e:1x1', {'pooling': 'max', 'num_layers': 2, 'dtype': 'bfloat16'}),
  ('v6e:1x1', {'pooling': 'entity'}),
  ('v6e:2x2', {'pooling': 'structured', 'dtype': 'bfloat16'}),
  ('v5p:1x1x1', {'pooling': 'label_wise', 'task': 'multi_label'}),
  ('v5p:2x2x1', {'model': 'hierarchical', 'pooling': 'dot'}),
  ('v5p:2x2x1', {'pooling': 'last', 'ema_decay': 0.9, 'r_drop': 1.0}),
]


def _corpus(is_multi_label, prefix=''):
  rng = np.random.default_rng(0)
  words = [f'word{i}' for i in range(40)]
  texts = [
    prefix + ' '.join(rng.choice(words, rng.integers(5, 24))) + '.'
    for _ in range(64)
  ]
  labels = [['a'], ['b'], ['a', 'c']] if is_multi_label else ['a', 'b', 'c']
  examples = texts, (labels * 22)[:64]
  return dict.fromkeys(('train', 'validation', 'test'), examples)


@pytest.mark.slow
@pytest.mark.parametrize('name, settings', RUNS)
def test_the_steps_compile_and_fit(name, settings, compiler):
  compiler('tpu' if ':' in name else 'gpu')
  config = bigru_jax.Config(**SIZES, **settings)
  entities = '<e1>here</e1> <e2>there</e2> ' * (config.pooling == 'entity')
  data = prepare(config, _corpus(config.task == 'multi_label', entities))
  target = targets.find(name)
  train, evaluate, predict = steps.compile_steps(config, data, target)
  for step in (train, evaluate, predict):
    assert step.memory < target.memory
    assert not {'f64', 's64'} & steps.hlo.dtypes(step.text)
    called = steps.hlo.custom_calls(step.text)
    assert not [x for x in called if 'callback' in x or 'bigru' in x]
    if config.dtype == 'bfloat16':
      assert 'bf16' in steps.hlo.dot_dtypes(step.text)
  # The old state is overwritten, all but a few scalars.
  assert train.aliased > 0.95 * train.outputs
  if target.platform == 'gpu':
    assert len(train.kernels_per_step) >= 2
    if config.model == 'flat' and not config.adversarial:
      assert max(train.kernels_per_step) <= 4
  else:
    assert train.flops > evaluate.flops > 0
    assert train.bytes_accessed > evaluate.bytes_accessed > 0
  _check_collectives(train, config, data, len(target.devices))
  assert not predict.collectives


def _check_collectives(train, config, data, num_devices):
  """The gradients are added up, and the embedded texts are exchanged."""
  moved = {x.kind: x for x in train.collectives}
  if num_devices == 1:
    assert not moved
    return
  params = build_program(config, data).params
  replicated = sum(x.size for x in jax.tree.leaves(params))
  replicated -= params['embedding'].size
  # With the loss and the weight; and the norm of the gradient.
  gradients = 4 * (replicated + 2)
  assert gradients <= moved['all-reduce'].bytes <= gradients + 16
  # The vectors forward and their gradients backward; of two passes, if so.
  vectors = math.prod(train.tokens) // num_devices * config.embedding_size * 4
  exchanges = moved['all-to-all'].count
  assert exchanges == (3 if config.adversarial or config.r_drop else 2)
  assert moved['all-to-all'].bytes <= exchanges * vectors


def test_devices_must_divide_the_batch():
  config = bigru_jax.Config(**SIZES | {'batch_size': 30})
  data = prepare(config, _corpus(is_multi_label=False))
  target = targets.Target(
    name='cpux4', platform='cpu', devices=jax.devices('cpu')[:4], memory=2**30
  )
  with pytest.raises(ValueError, match='batch_size=30 is not a multiple of'):
    steps.compile_steps(config, data, target)


@pytest.mark.parametrize('largest', [0, 8, 100, 960, 1000, 5000])
def test_the_largest_batch_size_is_found_by_bisection(largest):
  size = steps.largest_batch_size(lambda x: x <= largest, 64, multiple=8)
  assert size <= largest
  assert size % 8 == 0
  assert size >= largest // 8 * 8 - max(8, largest // 8)


@pytest.mark.parametrize('name', ['v7x', 'h100x0', 'v5e', 'v5e:2x2x2'])
def test_an_unknown_target_is_named(name):
  with pytest.raises(ValueError, match=f"target='{name}': choose a100"):
    targets.find(name)


@pytest.mark.parametrize(
  'name, package',
  [
    ('h100', f'nvidia-cuda-nvcc jax-cuda13-plugin=={jax.__version__} jax'),
    ('v5e:2x2', "'libtpu=="),
  ],
)
def test_a_missing_compiler_is_named(name, package, monkeypatch):
  def refuse(*arguments, **options):
    raise NotImplementedError('topology not implemented')

  monkeypatch.setattr(targets.topologies, 'get_topology_desc', refuse)
  with pytest.raises(
    ValueError, match=f'this needs .*pip install --target=FOLDER {package}'
  ):
    targets.find(name)
