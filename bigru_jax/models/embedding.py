"""The vectors of tokens, from a table, character n-grams and several sets."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import Any
import zlib

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.data.text import PAD_ID
from bigru_jax.ops.embedding import lookup

_LENGTHS = 3, 4  # The lengths of n-grams.
_BUCKETS = 2**13  # The number of rows that the n-grams share.
_MOST = 16  # The most n-grams of a word.
_BLOCK = 1024  # The number of words whose n-grams are averaged at once.


def token_table(model: Any) -> jax.Array:
  """Returns the table of a model's token vectors, which is a parameter.

  Args:
    model: a module with `vocabulary_size`, `embedding_size` and
      `embedding_axis`.
  """
  columns = model.embedding_size
  if model.embedding_axis is not None:
    columns //= jax.lax.axis_size(model.embedding_axis)
  shape = model.vocabulary_size, columns
  return model.param('embedding', _embedding_init, shape, jnp.float32)


def embed(
  model: Any, tokens_NxT: jax.Array, mask_NxT: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the vectors of token ids, and the weights of the sets of vectors.

  Args:
    model: a classifier, whose parameters and sizes these are.
    tokens_NxT: the ids.
    mask_NxT: True at real positions.

  Returns:
    The vectors [N, T, E], and by name `embeddings` [N, S, T], the weights of
    the S sets of `set_sizes`, which sum to one, or are zero at padding; empty
    without sets.
  """
  x_NxTxE = lookup(token_table(model), tokens_NxT, model.embedding_axis)
  if model.ngrams:
    ngrams_VxG = jnp.asarray(model.ngrams.ids_VxG)
    shape = _BUCKETS, model.embedding_size
    rows_RxE = model.param('ngram_embedding', _ngram_init, shape)
    x_NxTxE += mean_of_ngrams(rows_RxE, ngrams_VxG[tokens_NxT])
  x_NxTxE = x_NxTxE.astype(model.dtype)
  if not model.set_sizes:
    return x_NxTxE, {}
  join = JoinedSets(model.set_sizes, name='embedding_join')
  x_NxTxE, weights_NxTxS = join(x_NxTxE)
  weights_NxTxS = jnp.where(mask_NxT[..., None], weights_NxTxS, 0)
  return x_NxTxE, {'embeddings': weights_NxTxS.swapaxes(1, 2)}


class JoinedSets(nn.Module):
  """A dynamic meta-embedding: projected sets of vectors, by learned weights.

  For the vectors x_s of a token in each set s (Kiela, Wang & Cho, 2018,
  https://aclanthology.org/D18-1176, equations 1 to 3):

    y_s = P_s x_s + b_s,  alpha = softmax_s(a . y_s),  x = sum_s alpha_s y_s

  The result has the size of the largest vectors. The paper's bias of the scores
  is left out, because the softmax does not depend on it.

  Attributes:
    sizes: the size of each set's vectors.
  """

  sizes: tuple[int, ...]

  @nn.compact
  def __call__(self, x_NxTxD: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns joined vectors [N, T, E] and the weights [N, T, S].

    Args:
      x_NxTxD: the concatenated vectors of the sets.
    """
    ends, size = np.cumsum(self.sizes)[:-1], max(self.sizes)
    y_NxTxSxE = jnp.stack(
      [
        nn.Dense(size, dtype=x_NxTxD.dtype, name=f'set_{i}')(x)
        for i, x in enumerate(jnp.split(x_NxTxD, ends, axis=-1))
      ],
      axis=-2,
    )
    query_E = self.param('query', nn.initializers.normal(0.1), (size,))
    scores_NxTxS = y_NxTxSxE.astype(jnp.float32) @ query_E
    weights_NxTxS = jax.nn.softmax(scores_NxTxS)
    x_NxTxE = jnp.einsum(
      'ntse,nts->nte', y_NxTxSxE, weights_NxTxS.astype(x_NxTxD.dtype)
    )
    return x_NxTxE, weights_NxTxS


@dataclasses.dataclass(frozen=True, eq=False)
class Ngrams:
  """The character n-grams of a vocabulary, a static part of a model.

  Attributes:
    ids_VxG: see `ngram_ids`.
  """

  ids_VxG: np.ndarray

  @classmethod
  def of(cls, vocabulary: Sequence[str]) -> Ngrams:
    """Returns those of a vocabulary; <pad> and <unk> have none."""
    return cls(ngram_ids(['', '', *vocabulary[2:]]))


def ngram_ids(words: Sequence[str]) -> np.ndarray:
  """Returns the buckets [V, G] of the words' character n-grams, 0 for none.

  As in Bojanowski et al., 2017, https://aclanthology.org/Q17-1010, section 3.2,
  a word has the n-grams of `<word>`, which are hashed. Of a long word, evenly
  spaced n-grams stand for all. An empty word has none.
  """
  ids_VxG = np.zeros((len(words), _MOST), np.int32)
  for row, word in zip(ids_VxG, words):
    marked = f'<{word}>' if word else ''
    grams = [
      marked[i : i + n] for n in _LENGTHS for i in range(len(marked) - n + 1)
    ]
    if len(grams) > _MOST:
      spaced = np.linspace(0, len(grams) - 1, _MOST).astype(int)
      grams = [grams[i] for i in spaced]
    for g, gram in enumerate(grams):
      row[g] = 1 + zlib.crc32(gram.encode('utf-8', 'replace')) % (_BUCKETS - 1)
  return ids_VxG


def mean_of_ngrams(rows_RxE: Any, ids: Any) -> Any:
  """Returns the means [..., E] of the rows of n-grams [..., G]; 0 without any.

  Both are arrays of JAX, or both of NumPy.
  """
  is_real = (ids > 0)[..., None].astype(rows_RxE.dtype)
  count = is_real.sum(-2)
  return (rows_RxE[ids] * is_real).sum(-2) / (count + (count == 0))


def with_ngrams_in_table(model: Any, params: Any) -> tuple[Any, Any]:
  """Returns an equal model whose table has the means of the n-grams.

  Args:
    model: a classifier.
    params: its parameters, which are not changed.
  """
  if not model.ngrams:
    return model, params
  params = dict(params)
  rows_RxE = np.asarray(params.pop('ngram_embedding'))
  table_VxE = np.array(params['embedding'])
  for start in range(0, len(table_VxE), _BLOCK):
    ids_VxG = model.ngrams.ids_VxG[start : start + _BLOCK]
    table_VxE[start : start + _BLOCK] += mean_of_ngrams(rows_RxE, ids_VxG)
  return model.clone(ngrams=None), {**params, 'embedding': table_VxE}


def with_joined_table(params: Any) -> tuple[Any, np.ndarray | None]:
  """Returns parameters whose table has the joined vectors.

  Args:
    params: those of a classifier without n-grams; they are not changed.

  Returns:
    Those of an equal classifier without sets, and the weights [V, S] of each
    word's sets; None without sets.
  """
  if 'embedding_join' not in params:
    return params, None
  params = dict(params)
  join = params.pop('embedding_join')
  sizes = tuple(len(join[f'set_{i}']['kernel']) for i in range(len(join) - 1))
  table_1xVxD = jnp.asarray(params['embedding'])[None]
  joined: Any = JoinedSets(sizes).apply({'params': join}, table_1xVxD)
  (table_VxE,), (weights_VxS,) = map(np.asarray, joined)
  return {**params, 'embedding': table_VxE}, weights_VxS


def _embedding_init(key, shape, dtype=jnp.float32):
  table = jax.random.uniform(key, shape, dtype, -0.25, 0.25)
  return table.at[PAD_ID].set(0)


def _ngram_init(key, shape, dtype=jnp.float32):
  # As in fastText: nearly zero beside the rows of words.
  return jax.random.uniform(key, shape, dtype, -1 / shape[1], 1 / shape[1])
