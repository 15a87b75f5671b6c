"""Dropout with one key per example.

The mask of an example depends only on its own key, so it does not change with
the other examples of the batch or with the number of devices.

The bits are a hash of the key and the position: the finalizer of MurmurHash3
(Appleby, 2011, https://github.com/aappleby/smhasher), applied twice. XLA fuses
it with the multiplication. On a CPU, `jax.random`'s Threefry is a separate loop
over memory and takes a quarter of the compilation time of a training step.
"""

import enum
import math
from typing import Any
import zlib

import jax
import jax.numpy as jnp


class Site(enum.IntEnum):
  """The dropouts of a model, for which `fold_keys` makes different keys.

  The hierarchical model folds the keys of documents and those of sentences.
  """

  EMBEDDED = 0
  ENCODER = 1
  CONTEXT = 2
  WORDS = 3
  FEATURES = 4
  MIXUP = 5
  PERTURBATION = 1000
  SECOND_PASS = 1001
  UNLABELLED = 1002
  SAMPLED_WORDS = 1003
  SENTENCES = 0  # Folded into a document's key.
  WORDS_OF_SENTENCE = 2  # Folded into a sentence's key.


def example_keys(seed: int, step: jax.Array, batch_size: int) -> jax.Array:
  """Returns one key per example, from the seed, the step and its index."""
  words = _mix(jnp.uint32(seed)), jnp.asarray(step, jnp.uint32)
  number_Bx2 = jnp.arange(2 * batch_size, dtype=jnp.uint32).reshape(-1, 2)
  return _as_keys(_hash(*words, number_Bx2))


def fold_keys(keys_B: Any, number: int | jax.Array) -> Any:
  """Folds a number, or one number per example [B], into each example's key.

  None, which means no dropout, stays None.
  """
  if keys_B is None:
    return None
  number = 2 * jnp.asarray(number, jnp.uint32)[..., None]
  return _as_keys(
    _hash(*_words(keys_B), number + jnp.arange(2, dtype=jnp.uint32))
  )


def dropout(x: jax.Array, rate: float, keys_B: jax.Array | None) -> jax.Array:
  """Sets each value to zero with probability `rate` and scales up the others.

  Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html.

  Args:
    x: [B, ...], any array.
    rate: in [0, 1). The values that are kept are divided by 1 - rate.
    keys_B: one key per example, or None for no dropout.
  """
  if not rate or keys_B is None:
    return x
  position = jnp.arange(math.prod(x.shape[1:]), dtype=jnp.uint32)
  bits = _hash(*_words(keys_B), position)
  limit = min(int((1 - rate) * 2**32), 2**32 - 1)  # Out of 2**32 values.
  keep = bits.reshape(x.shape) < jnp.uint32(limit)
  return jnp.where(keep, x / (1 - rate), 0)


def spatial_dropout(
  x_BxTxE: jax.Array, rate: float, keys_B: jax.Array | None
) -> jax.Array:
  """Applies `dropout` to whole features, with one mask for all positions.

  Tompson et al., 2015, https://arxiv.org/abs/1411.4280, section 3.2.
  """
  if not rate or keys_B is None:
    return x_BxTxE
  ones_Bx1xE = jnp.ones_like(x_BxTxE[:, :1])
  return x_BxTxE * dropout(ones_Bx1xE, rate, keys_B)


def word_dropout(
  tokens_BxT: jax.Array,
  rate: float,
  keys_B: jax.Array | None,
  replacement: int,
) -> jax.Array:
  """Replaces each token, by <unk> for example, with probability `rate`.

  Iyyer et al., 2015, https://aclanthology.org/P15-1162, remove the words; here
  they become unknown, so that the vector of unknown words is trained.
  """
  if not rate or keys_B is None:
    return tokens_BxT
  keep_BxT = dropout(jnp.ones(tokens_BxT.shape), rate, keys_B) > 0
  return jnp.where(keep_BxT, tokens_BxT, replacement)


def weight_drop(params: Any, rate: float, key: jax.Array) -> Any:
  """Applies dropout to the recurrent kernels of a pytree of parameters.

  DropConnect (Wan et al., 2013) on the hidden-to-hidden matrices, as in Merity
  et al., 2018, https://arxiv.org/abs/1708.02182, section 2: one mask for all
  examples and positions of a step. Weights that are kept are divided by
  1 - rate.
  """

  def drop(path, array):
    if 'recurrent_kernel' not in path[-1].key:
      return array
    name = jax.tree_util.keystr(path).encode()
    keys_1 = fold_keys(key[None], zlib.crc32(name) >> 2)
    return dropout(array[None], rate, keys_1)[0]

  return jax.tree.map_with_path(drop, params)


def _words(keys_B: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the first two words of each key, [B, 1] each."""
  data = jax.random.key_data(keys_B)
  return data[:, :1], data[:, 1:2]


def _as_keys(words_Bx2: jax.Array) -> jax.Array:
  return jax.random.wrap_key_data(words_Bx2, impl='threefry2x32')


def _hash(first: jax.Array, second: jax.Array, number: jax.Array) -> jax.Array:
  """Hashes a key's two words and a number to 32 bits; all are uint32."""
  return _mix(_mix(number + first) ^ second)


def _mix(x: jax.Array) -> jax.Array:
  """MurmurHash3's finalizer: each bit of x flips about half of the result's."""
  x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
  x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
  return x ^ (x >> 16)
