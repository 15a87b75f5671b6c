"""State dicts of PyTorch in and out; its results are in the golden files."""

import functools
import re
import subprocess
import sys

import golden
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import bigru_jax
from bigru_jax.interop.torch import (
  Modules,
  classifier_from_torch,
  classifier_to_torch,
  gru_from_torch,
  gru_to_torch,
  read_state_dict,
  write_state_dict,
)
from bigru_jax.models.build import init_params

SUFFIXES = [
  '.safetensors',
  pytest.param('.pt', marks=pytest.mark.compare('torch')),
]


@pytest.fixture
def state():
  """The state dict of a classifier, as PyTorch made it."""
  return golden.read_state('additive')


@pytest.fixture
def gru_state(state):
  """The state dict of its GRU alone."""
  return {
    name.removeprefix('gru.'): x
    for name, x in state.items()
    if name.startswith('gru.')
  }


@pytest.mark.parametrize('bias', [True, False])
def test_the_values_of_a_gru_survive(bias, gru_state):
  if not bias:
    gru_state = {x: y for x, y in gru_state.items() if 'bias' not in x}
  again = gru_to_torch(gru_from_torch(gru_state), bias)
  assert again.keys() == gru_state.keys()
  for name, value in gru_state.items():
    if name.startswith('weight'):
      np.testing.assert_array_equal(again[name], value)
    else:  # Each bias of r and z enters as a sum of two.
      np.testing.assert_array_equal(again[name][8:], value[8:])
    if name.startswith('bias_ih'):
      total = value + gru_state[name.replace('ih', 'hh')]
      np.testing.assert_array_equal(again[name][:8], total[:8])


@pytest.mark.parametrize('kind', ['additive', 'dot'])
def test_a_classifier_has_the_logits_of_pytorch(kind, tmp_path):
  results, path = golden.read(kind), tmp_path / 'model.safetensors'
  logits = results['logits']
  write_state_dict(golden.read_state(kind), path)
  params = classifier_from_torch(read_state_dict(path))
  model = bigru_jax.Classifier(7, logits.shape[1], 5, 4, 2, kind)
  # The structure and shapes equal those of a new model.
  jax.tree.map(
    lambda x, y: np.testing.assert_equal(x.shape, y.shape),
    params,
    jax.eval_shape(lambda: init_params(model, 0)),
  )
  batch = {name: jnp.array(results[name]) for name in ('tokens', 'lengths')}
  found = jax.jit(model.apply)({'params': params}, batch).logits
  np.testing.assert_allclose(found, logits, atol=1e-5)
  # A round trip changes nothing except the sums of biases.
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-6),
    classifier_from_torch(classifier_to_torch(params)),
    params,
  )


def test_modules_that_are_not_a_bidirectional_gru_are_refused(gru_state):
  forward = {x: y for x, y in gru_state.items() if 'reverse' not in x}
  with pytest.raises(ValueError, match='one direction is not copied'):
    gru_from_torch(forward)
  lstm = {x: np.concatenate([y, y[:4]]) for x, y in gru_state.items()}
  message = r'weight_ih_l0 has shape \(16, 5\); expected \(12, 5\); .*bias_hh'
  with pytest.raises(ValueError, match=message):
    gru_from_torch(lstm)
  layer = gru_from_torch(gru_state)
  with pytest.raises(ValueError, match='bias=False'):
    gru_to_torch(layer, bias=False)
  del gru_state['bias_hh_l0_reverse']
  message = r'bias_hh_l0_reverse of shape \(12,\) is missing; other is unknown'
  with pytest.raises(ValueError, match=message):
    gru_from_torch(gru_state | {'other': np.zeros(2)})
  with pytest.raises(ValueError, match='expected weight_ih_l0'):
    gru_from_torch({'w': np.zeros((2, 3))})


def test_the_attention_may_be_two_modules_or_a_bare_vector(state):
  expected = classifier_from_torch(state)['attention']
  for vector in ('query.weight', 'query'):
    split = dict(state)
    split['key.weight'] = split.pop('attention.0.weight')
    split['key.bias'] = split.pop('attention.0.bias')
    split[vector] = split.pop('attention.2.weight')
    del split['attention.2.bias']
    modules = Modules(attention=('key', 'query'))
    params = classifier_from_torch(split, modules)
    jax.tree.map(np.testing.assert_array_equal, params['attention'], expected)
  back = classifier_to_torch(params, modules)
  assert back.keys() == split.keys() - {'query'} | {'query.weight'}


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.', 'a.b.c.', 'gru.'])
def test_a_prefix_that_all_names_share_is_dropped(prefix, state):
  expected = classifier_from_torch(state)
  wrapped = {prefix + name: x for name, x in state.items()}
  check = np.testing.assert_array_equal
  jax.tree.map(check, classifier_from_torch(wrapped), expected)
  named = Modules(*(
    (f'{prefix}attention',) if name == ('attention',) else prefix + name
    for name in Modules()
  ))  # fmt: skip
  jax.tree.map(check, classifier_from_torch(wrapped, named), expected)
  # Other tensors are named, except counters.
  counted = wrapped | {'n_averaged': np.array(3)}
  jax.tree.map(check, classifier_from_torch(counted), expected)
  for name in ('loss.weight', 'model.fc.bias', 'scale'):
    message = rf'^the model has no place for {name} \[3\]; it has only embed'
    with pytest.raises(ValueError, match=message):
      classifier_from_torch(wrapped | {name: np.ones(3)})


def test_the_prefix_of_a_parallel_gru_is_dropped(gru_state):
  wrapped = {f'module.{name}': x for name, x in gru_state.items()}
  jax.tree.map(
    np.testing.assert_array_equal,
    gru_from_torch(wrapped),
    gru_from_torch(gru_state),
  )


def test_two_models_in_one_state_dict_are_named(state):
  student, teacher = (
    {f'{name}.{x}': y for x, y in state.items()} for name in ('model', 'ema')
  )
  message = r'copies of the modules under ema\. and model\.; save one of them'
  with pytest.raises(ValueError, match=message):
    classifier_from_torch(student | teacher)
  with pytest.raises(ValueError, match='under model. and no prefix; save'):
    classifier_from_torch(student | {'fc.bias': state['fc.bias']})


@pytest.mark.parametrize(
  'name',
  ['embedding.weight', 'gru.bias_hh_l0', 'attention.2.weight', 'fc.weight'],
)
def test_values_that_are_not_weights_are_refused(name, state, gru_state):
  for value in (np.nan, np.inf):
    wrong = state | {name: np.full_like(state[name], value)}
    with pytest.raises(ValueError, match=f'^{name} holds NaN or infinite'):
      classifier_from_torch(wrong)
  wrong = state | {name: state[name].astype(np.int8)}
  with pytest.raises(ValueError, match=f'^{name} holds int8, not floating'):
    classifier_from_torch(wrong)
  gru_state['weight_hh_l0'][0] = np.nan
  with pytest.raises(ValueError, match='^weight_hh_l0 holds NaN'):
    gru_from_torch(gru_state)


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_integers_are_read_as_integers(suffix, tmp_path):
  path = tmp_path / f'x{suffix}'
  write_state_dict({'x': np.ones(2, np.int8), 'y': np.ones(2)}, path)
  state = read_state_dict(path)
  assert [state[name].dtype for name in 'xy'] == [np.int8, np.float32]


def test_bfloat16_is_read_as_float32(tmp_path):
  path = tmp_path / 'x.safetensors'
  write_state_dict({'x': np.ones(2, ml_dtypes.bfloat16)}, path)
  found = read_state_dict(path)['x']
  assert found.dtype == np.float32 and found.tolist() == [1, 1]


def test_parameters_that_a_classifier_lacks_are_listed(state):
  with pytest.raises(ValueError, match=r'no place for norm.weight \[8\], nor'):
    classifier_from_torch(
      state | {'norm.weight': np.zeros(8), 'norm.bias': np.zeros(8)}
    )
  message = r'gru=rnn: no such module in .*gru.weight_ih_l0 \[12, 5\]'
  with pytest.raises(ValueError, match=message):
    classifier_from_torch(state, Modules(gru='rnn'))
  message = 'embedding=embed, dense=out: no such module in embedding.weight'
  with pytest.raises(ValueError, match=message):
    classifier_from_torch(state, Modules(embedding='embed', dense='out'))
  bert = {f'layers.{i}.weight': np.zeros((2, 2)) for i in range(99)}
  with pytest.raises(ValueError, match=r'19.weight \[2, 2\] and 79 more'):
    classifier_from_torch(bert)
  with pytest.raises(ValueError, match=r'fc.weight has shape \(3, 4\)'):
    classifier_from_torch(state | {'fc.weight': np.zeros((3, 4))})
  with pytest.raises(ValueError, match=r'embedding.weight has shape \(7, 2\)'):
    classifier_from_torch(state | {'embedding.weight': np.zeros((7, 2))})
  one = {x: y for x, y in state.items() if 'reverse' not in x}
  with pytest.raises(ValueError, match='gru=gru: the GRU has one direction'):
    classifier_from_torch(one)
  wide = {
    **state,
    'attention.0.weight': np.zeros((9, 8)),
    'attention.0.bias': np.zeros(9),
    'attention.2.weight': np.zeros((1, 9)),
  }
  heads = {
    x.replace('attention.', 'attention.0.'): y for x, y in state.items()
  } | {'attention.1.weight': np.zeros((8, 8)), 'attention.1.bias': np.zeros(8)}
  square = {**state, 'attention.W': state['attention.0.weight']}
  del square['attention.0.weight'], square['attention.0.bias']
  for wrong in (wide, heads, square):
    with pytest.raises(ValueError, match='attention: expected the weight'):
      classifier_from_torch(wrong)
  for pooling in ('dot', 'additive+structured', 'max'):
    with pytest.raises(
      ValueError, match='are those of additive, alone or join'
    ):
      classifier_from_torch(state, pooling=pooling)
  with pytest.raises(
    ValueError, match=r'fc.weight has shape .*expected .3, 16'
  ):
    classifier_from_torch(state, pooling='additive+max')
  model = bigru_jax.Classifier(7, 3, 5, 4, pooling='additive+structured')
  params = jax.eval_shape(lambda: init_params(model, 0))
  with pytest.raises(ValueError, match='additive, structured in the attention'):
    classifier_to_torch(params)
  model = bigru_jax.Classifier(7, 3, 5, 4, pooling='max')
  params = jax.eval_shape(lambda: init_params(model, 0))
  with pytest.raises(ValueError, match='none in the attention'):
    classifier_to_torch(params)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
  path = tmp_path / 'model.safetensors'
  with pytest.raises(FileNotFoundError, match='weights=.*no such file'):
    read_state_dict(path)
  with pytest.raises(ValueError, match='weights=.* is a folder: name a file'):
    read_state_dict(tmp_path)
  path.write_bytes(b'nothing')
  with pytest.raises(ValueError) as caught:
    read_state_dict(path)
  message = str(caught.value)
  assert message.startswith(f'weights={path}: ') and message.isprintable()


def test_a_file_of_pytorch_needs_pytorch(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  path = tmp_path / 'model.pt'
  message = f'{path}: this file needs torch: pip install "torch"'
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    write_state_dict({'x': np.ones(2)}, path)
  path.touch()
  with pytest.raises(ValueError, match=f'^weights={re.escape(message)}$'):
    read_state_dict(path)


def test_torch_is_imported_only_for_its_own_files(state, tmp_path):
  path = tmp_path / 'model.safetensors'
  write_state_dict(state, path)
  code = (
    'import sys; from bigru_jax.interop.torch import *; '
    f'classifier_from_torch(read_state_dict({str(path)!r})); '
    "assert 'torch' not in sys.modules"
  )
  subprocess.run([sys.executable, '-c', code], check=True)
