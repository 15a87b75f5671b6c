"""Vectors of words from n-grams and from several sets, beside PyTorch's."""

import binascii

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigru_jax import parallel
from bigru_jax.models import embedding
from bigru_jax.models.classifier import Classifier
from bigru_jax.models.embedding import (
  JoinedSets,
  Ngrams,
  embed,
  mean_of_ngrams,
  ngram_ids,
  with_joined_table,
  with_ngrams_in_table,
)
from bigru_jax.models.hierarchical import HierarchicalClassifier

WORDS = ['<pad>', '<unk>', 'cat', 'cats', 'a', 'incomprehensibilities']
BATCH = {
  'tokens': np.array([[2, 3, 5], [4, 1, 0]]),
  'lengths': np.array([3, 2]),
}
DOCUMENTS = {
  'tokens': np.array([[5, 3], [2, 0], [4, 4]]),
  'sentence_lengths': np.array([2, 1, 2]),
  'sentence_mask': np.array([[True, False], [True, True]]),
}


class Embedder(nn.Module):
  """What `embed` needs of a classifier."""

  vocabulary_size: int = len(WORDS)
  embedding_size: int = 5
  dtype: type = jnp.float32
  embedding_axis: str | None = None
  set_sizes: tuple[int, ...] = ()
  ngrams: Ngrams | None = None

  @nn.compact
  def __call__(self, tokens):
    return embed(self, tokens, tokens > 0)


def _random(model, *inputs):
  """Random parameters, those of padding too."""
  rng = np.random.default_rng(0)
  variables = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs))
  return jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype(np.float32), variables['params']
  )


def _bucket(gram):
  rows = embedding._BUCKETS
  return 1 + binascii.crc32(gram.encode()) % (rows - 1)


def test_a_word_has_the_hashed_ngrams_of_the_marked_word():
  ids = ngram_ids(['', 'cat', 'a', 'über', 'incomprehensibilities'])
  grams = ['<ca', 'cat', 'at>', '<cat', 'cat>']
  assert ids.dtype == np.int32 and not ids[0].any()
  assert ids[1].tolist() == [*map(_bucket, grams), *[0] * (ids.shape[1] - 5)]
  assert ids[2, :2].tolist() == [_bucket('<a>'), 0]
  assert _bucket('<üb') in ids[3]
  # A long word has no more, and keeps its beginning and its end.
  assert ids[4].all() and ids[4, 0] == _bucket('<in')
  assert ids[4, -1] == _bucket('ies>')
  assert ids.max() < embedding._BUCKETS


@pytest.mark.compare('torch')
def test_ngrams_have_the_mean_and_the_gradient_of_an_embedding_bag():
  import torch

  model = Embedder(ngrams=Ngrams.of(WORDS))
  params = _random(model, BATCH['tokens'])
  g = np.random.default_rng(1).normal(size=(2, 3, 5)).astype(np.float32)

  def product(params):
    return (model.apply({'params': params}, BATCH['tokens'])[0] * g).sum()

  bag = torch.nn.EmbeddingBag(embedding._BUCKETS, 5, mode='mean', padding_idx=0)
  table = torch.nn.Embedding.from_pretrained(
    torch.tensor(params['embedding']), freeze=False
  )
  bag.weight.data = torch.tensor(params['ngram_embedding'])
  tokens = torch.tensor(BATCH['tokens'])
  ids = torch.tensor(model.ngrams.ids_VxG)[tokens]
  x = table(tokens) + bag(ids.flatten(0, 1)).unflatten(0, (2, 3))
  (x * torch.tensor(g)).sum().backward()
  ours, _ = model.apply({'params': params}, BATCH['tokens'])
  np.testing.assert_allclose(ours, x.detach().numpy(), rtol=1e-5)
  grads = jax.grad(product)(params)
  np.testing.assert_allclose(
    grads['ngram_embedding'], bag.weight.grad.numpy(), atol=1e-6
  )
  np.testing.assert_allclose(grads['embedding'], table.weight.grad, atol=1e-6)


@pytest.mark.compare('torch')
def test_sets_are_joined_as_in_the_paper():
  import torch

  model, x = JoinedSets((2, 3)), np.random.default_rng(2).normal(size=(2, 4, 5))
  x = x.astype(np.float32)
  params = _random(model, x)
  sets = torch.tensor(x).split([2, 3], dim=-1)
  projected = torch.stack(
    [
      part @ torch.tensor(params[f'set_{i}']['kernel'])
      + torch.tensor(params[f'set_{i}']['bias'])
      for i, part in enumerate(sets)
    ]
  )
  weights = (projected @ torch.tensor(params['query'])).softmax(0)
  expected = (weights[..., None] * projected).sum(0)
  joined, ours = model.apply({'params': params}, x)
  np.testing.assert_allclose(joined, expected, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(ours, weights.permute(1, 2, 0), rtol=1e-5)


@pytest.mark.parametrize(
  'classifier, batch',
  [(Classifier, BATCH), (HierarchicalClassifier, DOCUMENTS)],
)
def test_a_plain_table_gives_the_same_outputs(classifier, batch):
  model = classifier(
    vocabulary_size=len(WORDS), num_outputs=3, embedding_size=5, hidden_size=4,
    set_sizes=(2, 3), ngrams=Ngrams.of(WORDS),
  )  # fmt: skip
  params = _random(model, batch)
  expected = model.apply({'params': params}, batch)
  without, table = with_ngrams_in_table(model, params)
  outputs = without.apply({'params': table}, batch)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), outputs, expected
  )
  joined, weights_VxS = with_joined_table(table)
  plain = without.clone(set_sizes=(), embedding_size=3)
  outputs = plain.apply({'params': joined}, batch)
  np.testing.assert_allclose(outputs.logits, expected.logits, atol=1e-5)
  assert 'embeddings' not in outputs.attention
  of_tokens = expected.attention['embeddings']
  np.testing.assert_allclose(weights_VxS.sum(1), 1, rtol=1e-6)
  if classifier is Classifier:
    of_table = weights_VxS[batch['tokens']].swapaxes(1, 2)
    np.testing.assert_allclose(of_tokens[0], of_table[0], rtol=1e-5)
    np.testing.assert_allclose(
      of_tokens[1, :, :2], of_table[1, :, :2], rtol=1e-5
    )
    assert (of_tokens[1, :, 2] == 0).all()  # There is padding.
  else:
    assert of_tokens.shape == (2, 2, 2, 2)
    assert (of_tokens[0, :, 1] == 0).all()  # There is no such sentence.
    np.testing.assert_allclose(
      of_tokens[1, :, 1], weights_VxS[[4, 4]].T, rtol=1e-5
    )


def test_padding_and_the_unknown_word_have_no_ngrams():
  ids = Ngrams.of(WORDS).ids_VxG
  assert not ids[:2].any() and ids[2:].any(1).all()
  rows = np.ones((embedding._BUCKETS, 3), np.float32)
  assert mean_of_ngrams(rows, ids).tolist() == [[0] * 3] * 2 + [[1] * 3] * 4


@pytest.mark.parametrize('fields', [{'ngrams': Ngrams.of(WORDS)},
                                    {'set_sizes': (1, 3)}])  # fmt: skip
def test_devices_that_share_the_table_give_the_same_gradient(fields):
  model = Embedder(embedding_size=4, **fields)
  tokens = np.array([[2, 3, 5], [4, 1, 0], [5, 5, 2], [3, 0, 0]])
  batch = {'tokens': tokens, 'weights': np.ones(4, np.float32)}
  params = _random(model, tokens)
  keys = jax.random.split(jax.random.key(0), 4)

  def gradient(count):
    mesh = jax.make_mesh(
      (count,), (parallel.DATA_AXIS,), devices=jax.devices()[:count],
      axis_types=(jax.sharding.AxisType.Auto,),
    )  # fmt: skip
    sharded = model.clone(embedding_axis=parallel.embedding_axis(params, mesh))

    def losses(params, batch, keys_B):
      del keys_B
      x, _ = sharded.apply({'params': params}, batch['tokens'])
      return (x**2).sum((1, 2)), x

    assert (count > 1) == (sharded.embedding_axis is not None)
    return jax.jit(parallel.value_and_grad(losses, mesh))(params, batch, keys)

  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
    gradient(2),
    gradient(1),
  )
