"""PyTorch's parameters in and out, against PyTorch itself."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bigru_jax
from bigru_jax.build import init_params
from bigru_jax.interop.torch import (
  Modules,
  classifier_from_torch,
  classifier_to_torch,
  gru_from_torch,
  gru_to_torch,
  read_state_dict,
  write_state_dict,
)
from bigru_jax.interop.torch_run import read_vocabulary, write_run

torch = pytest.importorskip('torch')
nn, rnn = torch.nn, torch.nn.utils.rnn

LENGTHS = [6, 1, 4]
WORDS = ['the', '<unk>', 'good', '<pad>', 'bad', 'film', 'not']  # By id.
TEXTS = ['the good film', 'not a bad film , the film', '', 'bad']


def _arrays(module):
  return {name: x.numpy().copy() for name, x in module.state_dict().items()}


class Classifier(nn.Module):
  """Embedding, GRU, masked attention, dense, as PyTorch programs have them."""

  def __init__(self, attention, outputs=3, layers=2, bias=True):
    super().__init__()
    self.embedding = nn.Embedding(len(WORDS), 5, padding_idx=3)
    self.gru = nn.GRU(
      5, 4, layers, bias=bias, batch_first=True, bidirectional=True
    )
    self.attention = attention
    self.fc = nn.Linear(8, outputs)

  def forward(self, tokens, lengths):
    packed = rnn.pack_padded_sequence(
      self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False
    )
    h, _ = rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)
    padding = torch.arange(h.shape[1]) >= lengths[:, None]
    scores = self.attention(h).squeeze(-1).masked_fill(padding, -torch.inf)
    return self.fc((scores.softmax(1)[..., None] * h).sum(1))


def _additive(units=8, **options):
  return nn.Sequential(
    nn.Linear(8, units, **options), nn.Tanh(), nn.Linear(units, 1)
  )


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

  params = gru_from_torch(_arrays(gru))
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
  for name, value in _arrays(gru).items():
    if name.startswith('weight'):
      np.testing.assert_array_equal(state[name], value)
    elif name.startswith('bias_ih'):
      total = value + _arrays(gru)[name.replace('ih', 'hh')]
      np.testing.assert_array_equal(state[name][:8], total[:8])
      np.testing.assert_array_equal(state[name][8:], value[8:])
    else:
      np.testing.assert_array_equal(state[name][8:], value[8:])


def test_what_is_no_bidirectional_gru_is_refused():
  with pytest.raises(ValueError, match='one direction is not doubled'):
    gru_from_torch(_arrays(nn.GRU(5, 4)))
  lstm = _arrays(nn.LSTM(5, 4, bidirectional=True))
  message = r'weight_ih_l0 has shape \(16, 5\); expected \(12, 5\); .*bias_hh'
  with pytest.raises(ValueError, match=message):
    gru_from_torch(lstm)
  state = _arrays(nn.GRU(5, 4, bidirectional=True))
  del state['bias_hh_l0_reverse']
  message = r'bias_hh_l0_reverse of shape \(12,\) is missing; other is unknown'
  with pytest.raises(ValueError, match=message):
    gru_from_torch(state | {'other': np.zeros(2)})
  with pytest.raises(ValueError, match='expected weight_ih_l0'):
    gru_from_torch({'w': np.zeros((2, 3))})
  layer = gru_from_torch(_arrays(nn.GRU(5, 4, bidirectional=True)))
  with pytest.raises(ValueError, match='bias=False'):
    gru_to_torch(layer, bias=False)


@pytest.mark.parametrize(
  'attention, kind',
  [
    (_additive(), 'additive'),
    (_additive(units=3), 'additive'),  # Padded with zeros.
    (_additive(bias=False), 'additive'),
    (nn.Linear(8, 1), 'dot'),
  ],
)
@pytest.mark.parametrize('suffix', ['.safetensors', '.pt'])
def test_a_classifier_to_ours_and_back(attention, kind, suffix, tmp_path):
  torch.manual_seed(0)
  program = Classifier(attention)
  if suffix == '.safetensors':
    pytest.importorskip('safetensors')
  path = tmp_path / f'model{suffix}'
  write_state_dict(_arrays(program), path)
  params = classifier_from_torch(read_state_dict(path))
  tokens = np.random.default_rng(0).integers(0, 7, (3, 6))
  expected = program(torch.tensor(tokens), torch.tensor(LENGTHS))
  model = bigru_jax.Classifier(7, 3, 5, 4, 2, kind)
  # Of the same structure and shapes as those that training starts from.
  jax.tree.map(
    lambda x, y: np.testing.assert_equal(x.shape, y.shape),
    params,
    init_params(model, 0),
  )
  batch = {'tokens': jnp.array(tokens), 'lengths': jnp.array(LENGTHS)}
  found = model.apply({'params': params}, batch).logits
  np.testing.assert_allclose(found, expected.detach(), atol=1e-5)

  again = Classifier(
    nn.Linear(8, 1, bias=False) if kind == 'dot' else _additive()
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
  state = _arrays(Classifier(_additive()))
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


def test_what_a_classifier_has_no_place_for_is_listed():
  state = _arrays(Classifier(_additive()))
  with pytest.raises(ValueError, match=r'no place for norm.weight \[8\], nor'):
    classifier_from_torch(
      state | {'norm.weight': np.zeros(8), 'norm.bias': np.zeros(8)}
    )
  message = r'gru=rnn: no such module in .*gru.weight_ih_l0 \[12, 5\]'
  with pytest.raises(ValueError, match=message):
    classifier_from_torch(state, Modules(gru='rnn'))
  with pytest.raises(ValueError, match=r'fc.weight has shape \(3, 4\)'):
    classifier_from_torch(state | {'fc.weight': np.zeros((3, 4))})
  with pytest.raises(ValueError, match=r'embedding.weight has shape \(7, 2\)'):
    classifier_from_torch(state | {'embedding.weight': np.zeros((7, 2))})
  one = {x: y for x, y in state.items() if 'reverse' not in x}
  with pytest.raises(ValueError, match='gru=gru: the GRU has one direction'):
    classifier_from_torch(one)
  wide = _arrays(Classifier(_additive(units=9)))
  heads = _arrays(Classifier(nn.Sequential(_additive(), nn.Linear(8, 8))))
  square = {**state, 'attention.W': state['attention.0.weight']}
  del square['attention.0.weight'], square['attention.0.bias']
  for wrong in (wide, heads, square):
    with pytest.raises(ValueError, match='attention: expected the weight'):
      classifier_from_torch(wrong)
  params = init_params(bigru_jax.Classifier(7, 3, 5, 4, attention='max'), 0)
  with pytest.raises(ValueError, match='none in the attention'):
    classifier_to_torch(params)


def test_files_that_are_no_state_dict(tmp_path):
  with pytest.raises(FileNotFoundError, match='weights=.*no such file'):
    read_state_dict(tmp_path / 'model.pt')
  program, path = Classifier(_additive()), tmp_path / 'model.pt'
  torch.save({'epoch': 1, 'model': program.state_dict()}, path)
  with pytest.raises(ValueError, match=r'state_dict\(\) alone; .* epoch, mod'):
    read_state_dict(path)
  torch.save(program, path)  # A pickled object, which is not executed.
  with pytest.raises(ValueError, match='weights=.*Weights only load failed'):
    read_state_dict(path)
  (tmp_path / 'model.safetensors').write_bytes(b'nothing')
  with pytest.raises(ValueError, match='weights=.*model.safetensors'):
    read_state_dict(tmp_path / 'model.safetensors')


@pytest.mark.parametrize('suffix', ['.safetensors', '.pt'])
def test_any_type_is_read_as_float32(suffix, tmp_path):
  path, state = tmp_path / f'x{suffix}', {'x': torch.ones(2).bfloat16()}
  if suffix == '.pt':
    torch.save(state, path)
  else:
    pytest.importorskip('safetensors.torch').save_file(state, path)
  found = read_state_dict(path)['x']
  assert found.dtype == np.float32 and found.tolist() == [1, 1]


def _ids(text):
  return [WORDS.index(w) if w in WORDS else 1 for w in text.split()] or [1]


def _expected(program):
  """The program's probabilities of each of `TEXTS`, by itself."""
  for text in TEXTS:
    ids = torch.tensor([_ids(text)])
    logits = program(ids, torch.tensor([ids.shape[1]])).detach()
    yield logits.softmax(-1)[0] if logits.shape[1] > 1 else logits.sigmoid()[0]


@pytest.mark.parametrize('as_json', [True, False])
def test_a_run_answers_as_the_program_does(as_json, tmp_path):
  torch.manual_seed(0)
  program = Classifier(_additive(units=3))
  with torch.no_grad():
    program.embedding.weight[3] = 9.0  # Nothing reads it.
  torch.save(program.state_dict(), tmp_path / 'model.pt')
  vocabulary = tmp_path / ('words.json' if as_json else 'words.txt')
  ids = {word: i for i, word in enumerate(WORDS)}
  vocabulary.write_text(json.dumps(ids) if as_json else '\n'.join(WORDS) + '\n')
  write_run(
    tmp_path / 'run',
    read_state_dict(tmp_path / 'model.pt'),
    read_vocabulary(vocabulary),
    ['x', 'y', 'z'],
  )
  run = bigru_jax.load(tmp_path / 'run')
  assert run.tokenizer.vocabulary[:4] == ['<pad>', '<unk>', 'the', 'good']
  assert (run.config.num_layers, run.config.hidden_size) == (2, 4)
  for answer, expected in zip(run.predict(TEXTS), _expected(program)):
    found = [answer['probabilities'][label] for label in 'xyz']
    np.testing.assert_allclose(found, expected, atol=1e-5)
  with pytest.raises(ValueError, match='output=.*holds a run already'):
    write_run(tmp_path / 'run', _arrays(program), WORDS, ['x', 'y', 'z'])


def test_one_output_is_the_logit_of_the_second_label(tmp_path):
  torch.manual_seed(1)
  program = Classifier(nn.Linear(8, 1), outputs=1)
  vocabulary = ['pad' if word == '<pad>' else word for word in WORDS]
  write_run(tmp_path, _arrays(program), vocabulary, ['no', 'yes'], padding='')
  answers = bigru_jax.load(tmp_path).predict(TEXTS)
  for answer, expected in zip(answers, _expected(program)):
    np.testing.assert_allclose(
      answer['probabilities']['yes'], expected[0], atol=1e-5
    )


def test_a_tokenizer_json_is_the_vocabulary(tmp_path):
  tokenizers = pytest.importorskip('tokenizers')
  path = tmp_path / 'tokenizer.json'
  ids = {word: i for i, word in enumerate(WORDS)}
  made = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, '<unk>'))
  made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  made.save(str(path))
  program = Classifier(_additive())
  from bigru_jax.data.text import JsonTokenizer

  write_run(
    tmp_path / 'run', _arrays(program), JsonTokenizer(path).tokens(),
    ['x', 'y', 'z'], tokenizer=str(path),
  )  # fmt: skip
  answers = bigru_jax.load(tmp_path / 'run').predict(TEXTS)
  for answer, expected in zip(answers, _expected(program)):
    found = [answer['probabilities'][label] for label in 'xyz']
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
  'changed, message',
  [
    ({'vocabulary': WORDS[:-1]}, '6 tokens, and embedding.weight has 7 rows'),
    ({'vocabulary': [*WORDS[:-1], 'the']}, "'the' stands in it twice"),
    ({'vocabulary': [*WORDS[:-1], 'a\nb']}, 'holds a line break'),
    ({'padding': '[PAD]'}, r'padding=\[PAD\]: no such token'),
    ({'unknown': 'UNK'}, 'unknown=UNK: no such token'),
    ({'padding': ''}, "'<pad>' stands in it twice, or is a name that only"),
    ({'labels': ['x', 'y']}, 'labels=x,y: give 3 different names'),
    ({'labels': ['x', 'y', 'y']}, 'labels=x,y,y: give 3 different names'),
  ],
)
def test_a_run_that_does_not_fit_is_refused(changed, message, tmp_path):
  values = {'vocabulary': WORDS, 'labels': ['x', 'y', 'z'], **changed}
  with pytest.raises(ValueError, match=message):
    write_run(tmp_path, _arrays(Classifier(_additive())), **values)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('content', ['[]', '{"a": 1}', '{"a": "0"}', '{'])
def test_a_vocabulary_that_is_none(content, tmp_path):
  path = tmp_path / 'words.json'
  path.write_text(content)
  with pytest.raises(ValueError, match='vocabulary=.*words.json: '):
    read_vocabulary(path)


def test_a_token_that_stands_in_two_rows_is_named(tmp_path):
  path = tmp_path / 'words.txt'
  path.write_text('<pad>\n<unk>\nfilm\nfilm\n')
  with pytest.raises(ValueError, match="row 4: 'film' stands in row 3 already"):
    read_vocabulary(path)


def test_torch_is_imported_for_its_own_files_alone(tmp_path):
  pytest.importorskip('safetensors')
  path = tmp_path / 'model.safetensors'
  write_state_dict(_arrays(Classifier(_additive())), path)
  code = (
    'import sys; from bigru_jax.interop.torch import *; '
    f'classifier_from_torch(read_state_dict({str(path)!r})); '
    "assert 'torch' not in sys.modules"
  )
  subprocess.run([sys.executable, '-c', code], check=True)
