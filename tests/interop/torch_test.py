"""PyTorch's parameters in and out, against PyTorch itself."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_programs import Classifier, additive, arrays

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

torch = pytest.importorskip('torch')
nn, rnn = torch.nn, torch.nn.utils.rnn

LENGTHS = [6, 1, 4]


@pytest.mark.parametrize('layers', [1, 2])
@pytest.mark.parametrize('bias', [True, False])
def test_a_gru_has_the_same_outputs_and_gradients(layers, bias):
  torch.manual_seed(layers)
  gru = nn.GRU(5, 4, layers, bias=bias, batch_first=True, bidirectional=True)
  x = torch.randn(3, 6, 5, requires_grad=True)
  weight = torch.randn(3, 6, 8)
  packed = rnn.pack_padded_sequence(
    x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False
  )
  output, _ = rnn.pad_packed_sequence(gru(packed)[0], batch_first=True)
  (output * weight).sum().backward()

  params = gru_from_torch(arrays(gru))
  mask = np.arange(6) < np.array(LENGTHS)[:, None]
  layer = bigru_jax.BiGRU(4, layers)

  def loss(params, x):
    found = layer.apply({'params': params}, x, mask) * mask[..., None]
    return jnp.sum(found * weight.numpy()), found

  (_, found), (grads, dx) = jax.value_and_grad(
    loss, argnums=(0, 1), has_aux=True
  )(params, x.detach().numpy())
  np.testing.assert_allclose(found, output.detach(), atol=1e-5)
  np.testing.assert_allclose(dx, x.grad, atol=1e-4)
  hidden_biases = 0
  for name, value in gru_to_torch(grads).items():
    if not bias and name.startswith('bias'):
      continue
    expected = getattr(gru, name).grad.numpy()
    if name.startswith('bias_hh'):  # Those of r and z have no place of their
      hidden_biases += 1  # own; their gradient is that of bias_ih.
      value, expected = value[8:], expected[8:]
    np.testing.assert_allclose(value, expected, atol=1e-4, err_msg=name)
  assert hidden_biases == (2 * layers if bias else 0)

  again = nn.GRU(5, 4, layers, bias=bias, batch_first=True, bidirectional=True)
  state = gru_to_torch(params, bias)
  again.load_state_dict({x: torch.tensor(y) for x, y in state.items()})
  torch.testing.assert_close(again(x)[0], gru(x)[0], rtol=0, atol=1e-6)
  # The values survive: each bias of r and z as the sum it enters by.
  for name, value in arrays(gru).items():
    if name.startswith('weight'):
      np.testing.assert_array_equal(state[name], value)
    elif name.startswith('bias_ih'):
      total = value + arrays(gru)[name.replace('ih', 'hh')]
      np.testing.assert_array_equal(state[name][:8], total[:8])
      np.testing.assert_array_equal(state[name][8:], value[8:])
    else:
      np.testing.assert_array_equal(state[name][8:], value[8:])


def test_modules_that_are_not_a_bidirectional_gru_are_refused():
  with pytest.raises(ValueError, match='one direction is not doubled'):
    gru_from_torch(arrays(nn.GRU(5, 4)))
  lstm = arrays(nn.LSTM(5, 4, bidirectional=True))
  message = r'weight_ih_l0 has shape \(16, 5\); expected \(12, 5\); .*bias_hh'
  with pytest.raises(ValueError, match=message):
    gru_from_torch(lstm)
  state = arrays(nn.GRU(5, 4, bidirectional=True))
  del state['bias_hh_l0_reverse']
  message = r'bias_hh_l0_reverse of shape \(12,\) is missing; other is unknown'
  with pytest.raises(ValueError, match=message):
    gru_from_torch(state | {'other': np.zeros(2)})
  with pytest.raises(ValueError, match='expected weight_ih_l0'):
    gru_from_torch({'w': np.zeros((2, 3))})
  layer = gru_from_torch(arrays(nn.GRU(5, 4, bidirectional=True)))
  with pytest.raises(ValueError, match='bias=False'):
    gru_to_torch(layer, bias=False)


@pytest.mark.parametrize(
  'attention, kind, suffix',
  [
    (additive(), 'additive', '.pt'),
    (additive(units=3), 'additive', '.safetensors'),  # Padded with zeros.
    (additive(bias=False), 'additive', '.pt'),
    (nn.Linear(8, 1), 'dot', '.safetensors'),
  ],
)
def test_a_classifier_is_converted_both_ways(attention, kind, suffix, tmp_path):
  torch.manual_seed(0)
  program = Classifier(attention)
  if suffix == '.safetensors':
    pytest.importorskip('safetensors')
  path = tmp_path / f'model{suffix}'
  write_state_dict(arrays(program), path)
  params = classifier_from_torch(read_state_dict(path))
  tokens = np.random.default_rng(0).integers(0, 7, (3, 6))
  expected = program(torch.tensor(tokens), torch.tensor(LENGTHS))
  model = bigru_jax.Classifier(7, 3, 5, 4, 2, kind)
  # Of the same structure and shapes as those that training starts from.
  jax.tree.map(
    lambda x, y: np.testing.assert_equal(x.shape, y.shape),
    params,
    jax.eval_shape(lambda: init_params(model, 0)),
  )
  batch = {'tokens': jnp.array(tokens), 'lengths': jnp.array(LENGTHS)}
  found = jax.jit(model.apply)({'params': params}, batch).logits
  np.testing.assert_allclose(found, expected.detach(), atol=1e-5)

  again = Classifier(
    nn.Linear(8, 1, bias=False) if kind == 'dot' else additive()
  )
  if kind == 'additive':
    again.attention[2] = nn.Linear(8, 1, bias=False)
  write_state_dict(classifier_to_torch(params), path)
  if suffix == '.pt':
    again.load_state_dict(torch.load(path, weights_only=True))
  else:
    from safetensors.torch import load_file

    again.load_state_dict(load_file(path))
  logits = again(torch.tensor(tokens), torch.tensor(LENGTHS))
  torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_the_attention_may_be_two_modules_or_a_bare_vector():
  state = arrays(Classifier(additive()))
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
def test_a_prefix_that_all_names_share_is_dropped(prefix):
  state = arrays(Classifier(additive()))
  expected = classifier_from_torch(state)
  wrapped = {prefix + name: x for name, x in state.items()}
  check = np.testing.assert_array_equal
  jax.tree.map(check, classifier_from_torch(wrapped), expected)
  named = Modules(*(
    (f'{prefix}attention',) if name == ('attention',) else prefix + name
    for name in Modules()
  ))  # fmt: skip
  jax.tree.map(check, classifier_from_torch(wrapped, named), expected)
  # What stands beside it is named, unless it is a counter.
  counted = wrapped | {'n_averaged': np.array(3)}
  jax.tree.map(check, classifier_from_torch(counted), expected)
  for name in ('loss.weight', 'model.fc.bias', 'scale'):
    message = rf'^the model has no place for {name} \[3\]; it has only embed'
    with pytest.raises(ValueError, match=message):
      classifier_from_torch(wrapped | {name: np.ones(3)})
  gru = nn.DataParallel(nn.GRU(5, 4, bidirectional=True))
  jax.tree.map(
    check, gru_from_torch(arrays(gru)), gru_from_torch(arrays(gru.module))
  )


def test_averaged_weights_are_converted():
  program = Classifier(additive())
  averaged = torch.optim.swa_utils.AveragedModel(nn.DataParallel(program))
  assert {'n_averaged', 'module.module.fc.bias'} <= averaged.state_dict().keys()
  jax.tree.map(
    np.testing.assert_array_equal,
    classifier_from_torch(arrays(averaged)),
    classifier_from_torch(arrays(program)),
  )


def test_two_models_in_one_state_dict_are_named():
  state = arrays(Classifier(additive()))
  student, teacher = (
    {f'{name}.{x}': y for x, y in state.items()} for name in ('model', 'ema')
  )
  message = r'the modules are there under ema\. and model\.; save one of them'
  with pytest.raises(ValueError, match=message):
    classifier_from_torch(student | teacher)
  with pytest.raises(ValueError, match='under model. and no prefix; save'):
    classifier_from_torch(student | {'fc.bias': state['fc.bias']})


@pytest.mark.parametrize(
  'name',
  ['embedding.weight', 'gru.bias_hh_l0', 'attention.2.weight', 'fc.weight'],
)
def test_values_that_are_not_weights_are_refused(name):
  state = arrays(Classifier(additive()))
  for value in (np.nan, np.inf):
    wrong = state | {name: np.full_like(state[name], value)}
    with pytest.raises(ValueError, match=f'^{name} holds NaN or infinite'):
      classifier_from_torch(wrong)
  wrong = state | {name: state[name].astype(np.int8)}
  with pytest.raises(ValueError, match=f'^{name} holds int8, not floating'):
    classifier_from_torch(wrong)
  gru = arrays(nn.GRU(5, 4, bidirectional=True))
  gru['weight_hh_l0'] = np.full_like(gru['weight_hh_l0'], np.nan)
  with pytest.raises(ValueError, match='^weight_hh_l0 holds NaN'):
    gru_from_torch(gru)


@pytest.mark.parametrize('suffix', ['.safetensors', '.pt'])
def test_integers_are_read_as_integers(suffix, tmp_path):
  path = tmp_path / f'x{suffix}'
  write_state_dict({'x': np.ones(2, np.int8), 'y': np.ones(2)}, path)
  state = read_state_dict(path)
  assert [state[name].dtype for name in 'xy'] == [np.int8, np.float32]


def test_parameters_that_a_classifier_lacks_are_listed():
  state = arrays(Classifier(additive()))
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
  wide = arrays(Classifier(additive(units=9)))
  heads = arrays(Classifier(nn.Sequential(additive(), nn.Linear(8, 8))))
  square = {**state, 'attention.W': state['attention.0.weight']}
  del square['attention.0.weight'], square['attention.0.bias']
  for wrong in (wide, heads, square):
    with pytest.raises(ValueError, match='attention: expected the weight'):
      classifier_from_torch(wrong)
  model = bigru_jax.Classifier(7, 3, 5, 4, attention='max')
  params = jax.eval_shape(lambda: init_params(model, 0))
  with pytest.raises(ValueError, match='none in the attention'):
    classifier_to_torch(params)


@pytest.mark.parametrize('suffix', ['.safetensors', '.pt'])
def test_any_type_is_read_as_float32(suffix, tmp_path):
  path, state = tmp_path / f'x{suffix}', {'x': torch.ones(2).bfloat16()}
  if suffix == '.pt':
    torch.save(state, path)
  else:
    pytest.importorskip('safetensors.torch').save_file(state, path)
  found = read_state_dict(path)['x']
  assert found.dtype == np.float32 and found.tolist() == [1, 1]


def test_torch_is_imported_only_for_its_own_files(tmp_path):
  pytest.importorskip('safetensors')
  path = tmp_path / 'model.safetensors'
  write_state_dict(arrays(Classifier(additive())), path)
  code = (
    'import sys; from bigru_jax.interop.torch import *; '
    f'classifier_from_torch(read_state_dict({str(path)!r})); '
    "assert 'torch' not in sys.modules"
  )
  subprocess.run([sys.executable, '-c', code], check=True)
