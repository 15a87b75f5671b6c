"""Reading PyTorch's files, and the errors for those that cannot be read."""

import argparse
import pickle

import numpy as np
import pytest
from torch_programs import Classifier, additive, arrays, nn, torch

from bigru_jax.interop.torch import classifier_from_torch, read_state_dict

ENTRIES = 'state_dict', 'model_state_dict', 'model', 'net', 'weights', 'mine'

pytestmark = pytest.mark.compare('torch')


@pytest.fixture
def program():
  return Classifier(additive())


def _refused(path):
  with pytest.raises(ValueError) as caught:
    read_state_dict(path)
  message = str(caught.value)
  assert message.startswith(f'weights={path}: ') and message.isprintable()
  return message.removeprefix(f'weights={path}: ')


@pytest.mark.parametrize('entry', ENTRIES)
def test_the_state_dict_of_a_checkpoint_is_found(entry, program, tmp_path):
  optimizer = torch.optim.Adam(program.parameters())
  program(torch.ones(1, 2, dtype=int), torch.tensor([2])).sum().backward()
  optimizer.step()
  content = {
    'epoch': 3,
    'optimizer_state_dict': optimizer.state_dict(),
    'args': {'lr': 0.1, 'name': 'x'},
    entry: program.state_dict(),
  }
  torch.save(content, tmp_path / 'x.pt')
  found = read_state_dict(tmp_path / 'x.pt')
  for name, expected in arrays(program).items():
    np.testing.assert_array_equal(found[name], expected)
  # A copy beside it is not taken for it.
  content['average'] = {'gru.bias': torch.ones(2)}
  torch.save(content, tmp_path / 'x.pt')
  if entry == 'mine':
    assert 'state dicts, mine, average; save' in _refused(tmp_path / 'x.pt')
  else:
    assert read_state_dict(tmp_path / 'x.pt').keys() == found.keys()


@pytest.mark.parametrize(
  'names', [('checkpoint', 'state_dict'), ('a', 'model', 'mine'), ('net', 'b')]
)
def test_a_nested_state_dict_is_found(names, program, tmp_path):
  optimizer = torch.optim.Adam(program.parameters())
  program(torch.ones(1, 2, dtype=int), torch.tensor([2])).sum().backward()
  optimizer.step()
  content = program.state_dict()
  for name in reversed(names):
    content = {name: content, 'optimizer': optimizer.state_dict(), 'epoch': 3}
  torch.save(content, tmp_path / 'x.pt')
  assert read_state_dict(tmp_path / 'x.pt').keys() == arrays(program).keys()


def test_parameters_that_require_gradients_are_read(program, tmp_path):
  torch.save(dict(program.named_parameters()), tmp_path / 'x.pt')
  assert read_state_dict(tmp_path / 'x.pt').keys() == arrays(program).keys()


def test_a_lightning_checkpoint_is_read_or_named(program, tmp_path):
  content = {
    'pytorch-lightning_version': '2.5.0',
    'state_dict': {f'model.{x}': y for x, y in program.state_dict().items()},
    'hyper_parameters': {'lr': 0.1},
  }
  torch.save(content, tmp_path / 'x.ckpt')
  params = classifier_from_torch(read_state_dict(tmp_path / 'x.ckpt'))
  np.testing.assert_array_equal(
    params['embedding'], program.embedding.weight.detach()
  )
  content['hyper_parameters'] = argparse.Namespace(lr=0.1)
  torch.save(content, tmp_path / 'x.ckpt')
  assert _refused(tmp_path / 'x.ckpt') == (
    'the file is a Lightning checkpoint with Python objects in it '
    '(argparse.Namespace), and objects are never unpickled; load it where it '
    'was written, and save model.state_dict()'
  )


class Marker:
  """Writes a file when it is unpickled."""

  def __init__(self, path):
    self.path = str(path)

  def __reduce__(self):
    return open, (self.path, 'w')


@pytest.mark.parametrize('zipped', [True, False])
def test_nothing_is_unpickled(zipped, program, tmp_path):
  path, options = tmp_path / 'x.pt', {}
  options = {'_use_new_zipfile_serialization': zipped}
  torch.save(nn.Sequential(nn.Linear(2, 2)), path, **options)
  message = _refused(path)
  assert 'the file holds a pickled module (torch.nn.modules' in message
  assert message.endswith('save model.state_dict()')
  content = {'state_dict': program.state_dict(), 'x': Marker(tmp_path / 'mark')}
  torch.save(content, path, **options)
  assert 'holds Python objects (' in _refused(path)
  assert not (tmp_path / 'mark').exists()


@pytest.mark.parametrize(
  'content, message',
  [
    ([torch.ones(2)], 'the file holds a list; save model.state_dict()'),
    (torch.ones(2), 'the file holds a Tensor; save model.state_dict()'),
    ({}, 'the file holds no state dict; save model.state_dict()'),
    ({0: torch.ones(2)}, 'the file holds no state dict; save model'),
    (
      {'x': torch.ones(2), 'epoch': 1, 'args': {'lr': 0.1}},
      'save model.state_dict() alone, without epoch (int), args (dict)',
    ),
    (
      {'state_dict': {'x': torch.ones(2), 'y': None}, 'ema': {}},
      'alone, without state_dict (dict), ema (dict)',
    ),
    (
      {'a': {'net': {'x': torch.ones(2)}, 'model': {'y': torch.ones(2)}}},
      'several state dicts, a.net, a.model; save that of the model alone',
    ),
    (
      {'model': {'x': torch.ones(2)}, 'net': {'y': torch.ones(2)}},
      'several state dicts, model, net; save that of the model alone',
    ),
  ],
)
def test_a_file_must_hold_one_state_dict(content, message, tmp_path):
  torch.save(content, tmp_path / 'x.pt')
  assert message in _refused(tmp_path / 'x.pt')


def test_files_not_from_torch_save_are_named(program, tmp_path, recwarn):
  path = tmp_path / 'model.pt'
  torch.save(program.state_dict(), path)
  half = path.read_bytes()[: path.stat().st_size // 2]
  for content in (b'', b'<html>', half, pickle.dumps({'x': [1]})):
    path.write_bytes(content)
    assert (
      _refused(path) == 'the file is corrupt, or torch.save did not write it'
    )
  torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(path)
  recwarn.clear()
  assert 'the file is a TorchScript archive' in _refused(path)
  assert not recwarn.list  # Which would be lines of their own.
