"""PyTorch's parameters in and out, against PyTorch itself."""

import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_programs import Classifier, additive, arrays, nn, rnn, torch

import bigru_jax
from bigru_jax.interop.torch import (
  classifier_from_torch,
  classifier_to_torch,
  gru_from_torch,
  gru_to_torch,
  read_state_dict,
  write_state_dict,
)

pytestmark = pytest.mark.compare('torch')
LENGTHS = [6, 1, 4]


@pytest.mark.compare('captum.attr')
def test_the_golden_files_hold_the_results_of_pytorch_and_captum():
  import make_golden

  for name, results in make_golden.make().items():
    expected = golden.read(name)
    assert results.keys() == expected.keys()
    for key, result in results.items():
      np.testing.assert_allclose(result, expected[key], atol=1e-5, err_msg=key)


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


@pytest.mark.parametrize(
  'attention, kind, suffix',
  [
    (additive(), 'additive', '.pt'),
    (additive(units=3), 'additive', '.safetensors'),  # Padded with zeros.
    (additive(bias=False), 'additive', '.pt'),
    (nn.Linear(8, 1), 'dot', '.safetensors'),
    (additive(), 'additive+max+mean', '.pt'),
    (nn.Linear(8, 1), 'dot+max+mean', '.safetensors'),
  ],
)
def test_a_classifier_is_converted_both_ways(attention, kind, suffix, tmp_path):
  torch.manual_seed(0)
  joined = '+' in kind
  program = Classifier(attention, joined=joined)
  path = tmp_path / f'model{suffix}'
  write_state_dict(arrays(program), path)
  params = classifier_from_torch(read_state_dict(path), pooling=kind)
  tokens = np.random.default_rng(0).integers(0, 7, (3, 6))
  expected = program(torch.tensor(tokens), torch.tensor(LENGTHS))
  model = bigru_jax.Classifier(7, 3, 5, 4, 2, kind)
  batch = {'tokens': jnp.array(tokens), 'lengths': jnp.array(LENGTHS)}
  found = jax.jit(model.apply)({'params': params}, batch).logits
  np.testing.assert_allclose(found, expected.detach(), atol=1e-5)

  again = Classifier(
    nn.Linear(8, 1, bias=False) if 'dot' in kind else additive(), joined=joined
  )
  if 'additive' in kind:
    again.attention[2] = nn.Linear(8, 1, bias=False)
  write_state_dict(classifier_to_torch(params), path)
  if suffix == '.pt':
    again.load_state_dict(torch.load(path, weights_only=True))
  else:
    from safetensors.torch import load_file

    again.load_state_dict(load_file(path))
  logits = again(torch.tensor(tokens), torch.tensor(LENGTHS))
  torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_averaged_weights_are_converted():
  program = Classifier(additive())
  averaged = torch.optim.swa_utils.AveragedModel(nn.DataParallel(program))
  assert {'n_averaged', 'module.module.fc.bias'} <= averaged.state_dict().keys()
  jax.tree.map(
    np.testing.assert_array_equal,
    classifier_from_torch(arrays(averaged)),
    classifier_from_torch(arrays(program)),
  )


def test_bfloat16_is_read_as_float32(tmp_path):
  torch.save({'x': torch.ones(2).bfloat16()}, tmp_path / 'x.pt')
  found = read_state_dict(tmp_path / 'x.pt')['x']
  assert found.dtype == np.float32 and found.tolist() == [1, 1]
