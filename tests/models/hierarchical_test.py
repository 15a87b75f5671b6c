"""The hierarchical model, against a loop over documents and sentences."""

import functools

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.ragged import pack
from bigru_jax.data.splits import Table
from bigru_jax.models.hierarchical import HierarchicalClassifier
from bigru_jax.models.pooling import poolings_that
from bigru_jax.ops.dropout import example_keys

VOCABULARY = 30
DOCUMENTS = [
  [[4, 5, 6], [2], [7, 7, 8, 9, 3]],
  [[11, 3]],
  [[1, 2], [5, 29, 5, 6], [3], [21, 8, 9], [4]],
]


def _batch(documents, max_sentences, time, num_sentences):
  """A batch of documents; each is a list of sentences of token ids."""
  sentences = [s for document in documents for s in document]
  tokens = np.zeros((num_sentences, time), np.int32)
  lengths = np.zeros(num_sentences, np.int32)
  for i, sentence in enumerate(sentences):
    tokens[i, : len(sentence)] = sentence
    lengths[i] = len(sentence)
  counts = np.array([len(document) for document in documents])
  return {
    'tokens': tokens,
    'sentence_lengths': lengths,
    'sentence_mask': np.arange(max_sentences) < counts[:, None],
  }


def _model(**options):
  return HierarchicalClassifier(VOCABULARY, 3, 8, 6, **options)


@functools.partial(jax.jit, static_argnums=0)
def _apply(model, *arguments, **options):
  return model.apply(*arguments, **options)


def _init(model, seed=0):
  one = _batch([[[1]]], 1, 1, 1)
  params = jax.jit(model.init)(jax.random.key(seed), one)
  # Parameters as large as a trained model's, and biases.
  leaves, structure = jax.tree.flatten(params)
  rng = np.random.default_rng(seed)
  return jax.tree.unflatten(
    structure,
    [2 * p + rng.normal(0, 0.1, p.shape).astype(np.float32) for p in leaves],
  )


def _attend(h, params):
  """Additive attention in NumPy: the weighted mean of h, and the weights."""
  kernel, bias, query = (
    np.asarray(params[name]) for name in ('kernel', 'bias', 'query')
  )
  scores = np.tanh(h @ kernel + bias) @ query
  weights = np.exp(scores - scores.max())
  weights /= weights.sum()
  return weights @ h, weights


def _encode(x, params):
  """The states [T, 2H] of one sequence [T, F], by a GRU in NumPy."""

  def sigmoid(x):
    return 1 / (1 + np.exp(-x))

  directions = []
  for d, step in enumerate((1, -1)):
    w_input, w_recurrent, b, b_n = (
      np.asarray(params[f'{name}_0'][d])
      for name in (
        'input_kernel', 'recurrent_kernel', 'input_bias', 'recurrent_bias',
      )
    )  # fmt: skip
    h = np.zeros(len(b_n))
    states = []
    for x_t in x[::step]:
      p_r, p_z, p_n = np.split(w_input @ x_t + b, 3)
      g_r, g_z, g_n = np.split(w_recurrent @ h, 3)
      z = sigmoid(p_z + g_z)
      n = np.tanh(p_n + sigmoid(p_r + g_r) * (g_n + b_n))
      h = (1 - z) * n + z * h
      states.append(h)
    directions.append(np.stack(states[::step]))
  return np.concatenate(directions, axis=1)


def test_the_model_equals_a_loop_over_documents_and_sentences():
  model = _model()
  variables = _init(model)
  params = variables['params']
  table = np.asarray(params['embedding'])
  outputs = _apply(model, variables, _batch(DOCUMENTS, 6, 5, 11))
  for i, document in enumerate(DOCUMENTS):
    states = [_encode(table[s], params['word_encoder']) for s in document]
    read = [_attend(h, params['word_attention']) for h in states]
    vectors, words = zip(*read)
    states = _encode(np.stack(vectors), params['sentence_encoder'])
    vector, weights = _attend(states, params['sentence_attention'])
    output = params['output']
    logits = vector @ np.asarray(output['kernel']) + np.asarray(output['bias'])
    np.testing.assert_allclose(outputs.logits[i], logits, atol=1e-5)
    np.testing.assert_allclose(
      outputs.attention['sentences'][i, 0, : len(weights)], weights, atol=1e-5
    )
    np.testing.assert_array_equal(
      outputs.attention['sentences'][i, 0, len(weights) :], 0
    )
    expected = np.zeros((6, 5))
    for position, word_weights in enumerate(words):
      expected[position, : len(word_weights)] = word_weights
    np.testing.assert_allclose(
      outputs.attention['words'][i, 0], expected, atol=1e-5
    )


@pytest.fixture(
  scope='module',
  params=[
    pytest.param(name, marks=() if name == 'additive' else pytest.mark.slow)
    for name in (*poolings_that('fits_any_states'), 'structured+max')
  ],
)
def differentiate(request):
  """The outputs with dropout, and the gradients of the summed losses."""
  model = _model(
    num_layers=2,
    pooling=request.param,
    dropout=0.3,
    embedding_dropout=0.3,
    recurrent_dropout=0.3,
  )
  variables = _init(model)

  def loss(variables, batch, keys_B, weights_B):
    outputs = model.apply(variables, batch, keys_B)
    losses_B = jax.nn.logsumexp(outputs.logits**2, axis=1)
    return jnp.sum(losses_B * weights_B), outputs

  value_and_grad = jax.jit(jax.value_and_grad(loss, has_aux=True))

  def differentiate(batch, keys, weights):
    (_, outputs), grads = value_and_grad(variables, batch, keys, weights)
    return outputs, grads

  return differentiate


def test_padding_position_and_batch_do_not_matter(differentiate):
  documents = [[[4, 5, 6], [2]], [[3, 9, 9, 1], [1], [8, 2]]]
  _check_padding_place_and_neighbors(
    differentiate, documents, [[7]], (3, 1, 2, 0), 5
  )


_SENTENCE = st.lists(st.integers(1, VOCABULARY - 1), min_size=1, max_size=4)
_DOCUMENT = st.lists(_SENTENCE, min_size=1, max_size=3)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(
  documents=st.lists(_DOCUMENT, min_size=2, max_size=2),
  other=_DOCUMENT,
  order=st.permutations(range(4)),
  garbage=st.integers(0, VOCABULARY - 1),
)
def test_padding_position_and_batch_do_not_matter_on_random_inputs(
  differentiate, documents, other, order, garbage
):
  _check_padding_place_and_neighbors(
    differentiate, documents, other, order, garbage
  )


def _check_padding_place_and_neighbors(
  differentiate, documents, other, order, garbage
):
  keys = example_keys(0, jnp.int32(0), 4)
  few = _batch(documents, 3, 4, 6)
  outputs, grads = differentiate(few, keys[:2], np.ones(2, np.float32))
  # A neighbor, a padding example, another order, more padding of every kind,
  # and any token in it.
  examples = [*documents, other, []]
  moved = _batch([examples[i] for i in order], 5, 7, 13)
  padding = np.arange(7) >= moved['sentence_lengths'][:, None]
  moved['tokens'][padding] = garbage
  positions = [order.index(0), order.index(1)]
  weights = np.zeros(4, np.float32)
  weights[positions] = 1
  again, grads_again = differentiate(moved, keys[np.array(order)], weights)
  np.testing.assert_allclose(
    again.logits[np.array(positions)], outputs.logits, rtol=1e-4, atol=1e-5
  )
  for a, b in zip(jax.tree.leaves(grads_again), jax.tree.leaves(grads)):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
  assert outputs.attention.keys() == again.attention.keys()
  for name, after in again.attention.items():
    before = outputs.attention[name]
    for i, position in enumerate(positions):
      part = tuple(slice(size) for size in before[i].shape)
      np.testing.assert_allclose(after[position][part], before[i], atol=1e-5)
      np.testing.assert_allclose(  # None is at padding.
        after[position].sum(), before[i].sum(), rtol=1e-4
      )


def test_a_word_changes_only_its_own_document():
  model = _model()
  variables = _init(model)
  before = _apply(model, variables, _batch(DOCUMENTS, 6, 5, 11)).logits
  changed = [DOCUMENTS[0], [[11, 4]], DOCUMENTS[2]]
  after = _apply(model, variables, _batch(changed, 6, 5, 11)).logits
  same = np.isclose(before, after, atol=1e-6).all(1)
  assert same.tolist() == [True, False, True]


def test_the_order_of_sentences_matters():
  model = _model()
  variables = _init(model)
  batch = _batch([DOCUMENTS[0], DOCUMENTS[0][::-1]], 3, 5, 6)
  first, second = _apply(model, variables, batch).logits
  assert not np.allclose(first, second, atol=1e-3)


def test_equal_sentences_of_a_document_have_different_masks():
  model = _model(pooling='mean', dropout=0.0, embedding_dropout=0.5)
  variables = _init(model)
  batch = _batch([[[4, 5, 6]], [[4, 5, 6]] * 2], 2, 3, 3)
  keys = example_keys(0, jnp.int32(0), 2)
  _, state = model.apply(
    variables, batch, keys, capture_intermediates=True, mutable='intermediates'
  )
  states = state['intermediates']['word_encoder']['__call__'][0]
  assert len({s.tobytes() for s in np.asarray(states)}) == 3
  # The stream of `rngs` also gives keys.
  logits = _apply(model, variables, batch).logits
  dropped = _apply(model, variables, batch, rngs={'dropout': jax.random.key(0)})
  assert not np.allclose(dropped.logits, logits)


def test_spatial_dropout_has_one_mask_for_a_document():
  model = _model(
    pooling='mean', dropout=0.0, embedding_dropout=0.0, spatial_dropout=0.5
  )
  variables = _init(model)
  batch = _batch([[[4, 5, 6]], [[4, 5, 6]] * 2], 2, 3, 3)
  keys = example_keys(0, jnp.int32(0), 2)
  apply = functools.partial(
    model.apply, capture_intermediates=True, mutable='intermediates'
  )
  _, state = jax.jit(apply)(variables, batch, keys)
  states = state['intermediates']['word_encoder']['__call__'][0]
  assert len({s.tobytes() for s in np.asarray(states)}) == 2
  np.testing.assert_array_equal(states[1], states[2])


def test_given_attention_weights_replace_its_own():
  model = _model()
  variables = _init(model)
  batch = _batch(DOCUMENTS, 6, 5, 11)
  own = _apply(model, variables, batch)
  same = _apply(model, variables, batch, attention=own.attention)
  np.testing.assert_allclose(same.logits, own.logits, atol=1e-5)
  first_sentence = np.zeros((3, 1, 6), np.float32)
  first_sentence[..., 0] = 1
  given_sentences = _apply(
    model, variables, batch, attention={'sentences': first_sentence}
  )
  np.testing.assert_array_equal(
    given_sentences.attention['sentences'], first_sentence
  )
  np.testing.assert_allclose(
    given_sentences.attention['words'], own.attention['words'], atol=1e-6
  )
  first_word = np.zeros((3, 1, 6, 5), np.float32)
  first_word[..., 0] = 1
  first_word *= batch['sentence_mask'][:, None, :, None]
  given_words = _apply(model, variables, batch, attention={'words': first_word})
  np.testing.assert_array_equal(given_words.attention['words'], first_word)
  for other in (given_sentences, given_words):
    differs = ~np.isclose(other.logits, own.logits, atol=1e-4).all(1)
    assert differs[0] and differs[2]


def test_a_padding_example_is_finite_in_value_and_gradient():
  model = _model()
  variables = _init(model)
  batch = _batch([[[4, 5]], []], 2, 3, 4)
  grads = jax.jit(jax.grad(lambda p: model.apply(p, batch).logits.sum()))(
    variables
  )
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_the_model_reads_the_batches_of_a_split():
  table = Table(
    {
      'tokens': pack([[token for s in d for token in s] for d in DOCUMENTS]),
      'label': np.zeros(3, np.int32),
      'weight': np.ones(3, np.float32),
      'sentences': pack([list(map(len, d)) for d in DOCUMENTS]),
    }
  )
  split = EncodedSplit(table=table, buckets=[5], sentence_length=5)
  ((shape, rows),) = split.plan(4)
  model = _model()
  variables = _init(model)
  found = _apply(model, variables, split.batch(rows, shape, 4)).logits
  expected = _apply(model, variables, _batch(DOCUMENTS, 6, 5, 11)).logits
  np.testing.assert_allclose(found[:3], expected[rows], atol=1e-5)


def test_bfloat16_keeps_float32_parameters_and_logits():
  variables = _init(_model())
  batch = _batch(DOCUMENTS, 6, 5, 11)
  outputs = _apply(_model(dtype=jnp.bfloat16), variables, batch)
  assert outputs.logits.dtype == jnp.float32
  assert all(w.dtype == jnp.float32 for w in outputs.attention.values())
  reference = _apply(_model(), variables, batch)
  np.testing.assert_allclose(outputs.logits, reference.logits, atol=0.1)


def test_label_wise_attention_is_refused():
  with pytest.raises(
    ValueError, match="pooling='label_wise': model=hierarchical takes addi"
  ):
    Config(model='hierarchical', pooling='label_wise')


def test_a_long_document_adds_no_padding_to_the_others():
  # One of 50 sentences and 15 of one: 65 sentences, and not 16 times 50.
  documents = [[[1] * 20] * 50, *[[[1] * 20]] * 15]
  batch = _batch(documents, 50, 20, 65)
  model = HierarchicalClassifier(VOCABULARY, 3, 32, 64)
  params = _init(model)

  def loss(params):
    return model.apply(params, batch).logits.sum()

  compiled = jax.jit(jax.grad(loss)).lower(params).compile()
  scratch = compiled.memory_analysis().temp_size_in_bytes
  word_states_of_a_cube = 16 * 50 * 20 * 2 * 64 * 4  # Bytes.
  assert scratch < 2 * word_states_of_a_cube  # These, and their gradients.
