"""Chooses the attribution that shades the texts of a run.

`choose` returns what a run writes to faithfulness.json:

  method    the attribution that explains the predictions most faithfully
  sentence  this choice in words
  texts     the number of texts on which the attributions were compared
  table     for each attribution and for `random`: its `name` and, as means over
            these texts with 95 % confidence intervals, `comprehensiveness` and
            `sufficiency` (AOPC) and `above_random`, by how much the difference
            of the two exceeds that of `random`

`attributions_within` computes the attributions of a page. The numbers of texts
are bounded by the tokens that the model reads, so that a run of long texts does
not take much longer either.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.epoch_plan import choose_buckets, round_up
from bigru_jax.explain.attributions import (
  ATTRIBUTIONS,
  PAGE_METHODS,
  integrated_gradients,
  methods_of,
)
from bigru_jax.explain.choice_in_words import in_words
from bigru_jax.explain.faithfulness import SHARES, erasure
from bigru_jax.explain.positions import Batch, real_tokens
from bigru_jax.explain.predictions import TrainedModel, over_split, sampled
from bigru_jax.runtime.precision import single_precision
from bigru_jax.statistics.intervals import student

# The points of the quadrature of integrated gradients. On Rotten Tomatoes, the
# sums are within 1e-6 of those of 60 points.
_STEPS = 8
# The tokens that the model may read for a choice, and for the attributions of a
# page by one method. The pass of a gradient reads a token three times.
_TOKENS_OF_CHOICE = 4_000_000
_TOKENS_OF_PAGE = 4_000_000
_MAX_TEXTS = 200
_BATCH_SIZE = 128
# Each shape compiles two programs, which take as long as so many padded
# positions: 1 to 2 s of the processor, and 10 us for a position (on Rotten
# Tomatoes, two cores).
_MAX_SHAPES = 2
_SHAPE_COST = 100_000


def page_methods(pooling: str) -> tuple[str, ...]:
  """Returns the attributions that the page of a model with a pooling shows."""
  return tuple(name for name in PAGE_METHODS if name in methods_of(pooling))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
  """The attribution that shades texts; see the module for the attributes."""

  method: str
  sentence: str
  texts: int
  table: list[dict[str, Any]]


def with_same_shapes(
  first: EncodedSplit, second: EncodedSplit
) -> tuple[EncodedSplit, EncodedSplit]:
  """Returns two splits whose batches share few padded shapes."""
  sizes = 'sentences' if 'sentences' in first.table else 'tokens'
  lengths = [split.table[sizes].lengths for split in (first, second)]
  sizes_of_all = round_up(np.concatenate(lengths))
  buckets = choose_buckets(sizes_of_all, _MAX_SHAPES, _SHAPE_COST)
  longest = max(first.sentence_length, second.sentence_length)
  options: dict[str, Any] = {'buckets': buckets, 'sentence_length': longest}
  return (
    dataclasses.replace(first, **options),
    dataclasses.replace(second, **options),
  )


def sample(
  split: EncodedSplit, methods: Sequence[str], seed: int
) -> EncodedSplit:
  """Draws the texts on which some attributions are compared."""
  lengths = split.table['tokens'].lengths
  erased = 2 * len(SHARES) * (len(methods) + 1) * lengths
  tokens = erased + sum(_tokens_read(name, lengths) for name in methods)
  limit = int(_TOKENS_OF_CHOICE / max(tokens.mean(), 1))
  return sampled(split, min(max(limit, 1), _MAX_TEXTS), seed)


@single_precision()
def choose(
  trained: TrainedModel,
  split: EncodedSplit,
  methods: Sequence[str],
  seed: int = 0,
) -> Choice:
  """Returns the most faithful of some attributions.

  It has the largest comprehensiveness minus sufficiency (DeYoung et al., 2020,
  https://aclanthology.org/2020.acl-main.408).

  Args:
    trained: the model.
    split: the texts on which the attributions are compared, from `sample`.
    methods: names of `ATTRIBUTIONS`.
    seed: the seed of the random attribution.
  """

  def step(trained, batch, key):
    weights = _attributions(trained, batch, tuple(methods))
    return _erase(trained, batch, weights, key)

  results = over_split(step, trained, split, _BATCH_SIZE, seed)
  names = (*methods, 'random')
  tests = {
    test: {name: np.array(results[f'{name}: {test}']) for name in names}
    for test in ('comprehensiveness', 'sufficiency')
  }
  differences = {
    name: tests['comprehensiveness'][name] - tests['sufficiency'][name]
    for name in names
  }
  table = [
    {
      'name': name,
      **{test: _mean(values[name]) for test, values in tests.items()},
      'above_random': _mean(differences[name] - differences['random']),
    }
    for name in names
  ]
  method = max(methods, key=lambda name: differences[name].mean())
  return Choice(
    method=method,
    sentence=in_words(method, table, len(split)),
    texts=len(split),
    table=table,
  )


@single_precision()
def compile_ahead(
  trained: TrainedModel, split: EncodedSplit, methods: Sequence[str]
) -> None:
  """Compiles the programs of `choose`; the parameters may be abstract."""

  def step(trained, batch, key):
    lowered = _attributions.lower(trained, batch, tuple(methods))
    weights = jax.tree.map(
      lambda x, sharding: jax.ShapeDtypeStruct(
        x.shape, x.dtype, sharding=sharding
      ),
      lowered.out_info,
      lowered.compile().output_shardings,
    )
    _erase.lower(trained, batch, weights, key).compile()
    return {}

  over_split(step, trained, split, _BATCH_SIZE)


@single_precision()
def attributions_within(
  trained: TrainedModel,
  split: EncodedSplit,
  methods: Sequence[str],
  order: Sequence[int],
) -> dict[str, list[np.ndarray | None]]:
  """Returns attributions to the predicted classes of a page's texts.

  Args:
    trained: the model.
    split: the texts.
    methods: names of `ATTRIBUTIONS`.
    order: the indices of the texts, in the order in which they are explained
      until a method has read its share of tokens.

  Returns:
    For each method and text one weight per token, or None.
  """
  names_of: list[tuple[str, ...]] = [()] * len(split)
  lengths = split.table['tokens'].lengths
  for name in methods:
    for i in affordable(name, lengths, order):
      names_of[i] += (name,)
  attributions: dict[str, list[np.ndarray | None]] = {
    name: [None] * len(split) for name in methods
  }
  for names in sorted(set(names_of) - {()}):
    indices = np.flatnonzero([x == names for x in names_of])
    part = dataclasses.replace(split, table=split.table.take(indices))

    def step(trained, batch, key, names=names):
      del key
      return _attributions(trained, batch, names)

    for name, of_texts in over_split(step, trained, part, _BATCH_SIZE).items():
      for index, weights_T in zip(indices, of_texts):
        attributions[name][index] = weights_T
  return attributions


def affordable(
  method: str, lengths: Sequence[int], order: Sequence[int]
) -> np.ndarray:
  """Returns the indices of the texts of a page that a method explains.

  Args:
    method: the name of an attribution.
    lengths: the number of tokens of each text.
    order: the indices of the texts; the first ones are explained.
  """
  indices = np.asarray(order, int)
  tokens = _tokens_read(method, np.asarray(lengths)[indices])
  return indices[np.cumsum(tokens) <= _TOKENS_OF_PAGE]


def _tokens_read(method: str, lengths_N: np.ndarray) -> np.ndarray:
  """Returns the tokens [N] that the model reads to explain texts."""
  passes: dict[str, Any] = {
    'attention': 1,
    'gradient_x_input': 3,
    'integrated_gradients': 3 * _STEPS,
    'leave_one_out': lengths_N,
  }
  return lengths_N.astype(np.int64) * passes[method]


@functools.partial(jax.jit, static_argnames='names')
def _attributions(
  trained: TrainedModel, batch: Batch, names: tuple[str, ...]
) -> dict[str, jax.Array]:
  """Returns attributions [B, T] to the predicted classes, by name."""
  classes_B = trained.classes(trained.probabilities(batch))
  inputs = trained, batch, classes_B
  return {
    name: integrated_gradients(*inputs, steps=_STEPS)[0]
    if name == 'integrated_gradients'
    else ATTRIBUTIONS[name](*inputs)
    for name in names
  }


@jax.jit
def _erase(
  trained: TrainedModel,
  batch: Batch,
  weights: dict[str, jax.Array],
  key: jax.Array,
) -> dict[str, jax.Array]:
  """Returns two tests [B] of attributions [B, T] and of random numbers."""
  classes_B = trained.classes(trained.probabilities(batch))
  random_BxT = jax.random.uniform(key, real_tokens(batch).shape)
  weights = {**weights, 'random': random_BxT}
  weights_MxBxT = jnp.stack(list(weights.values()))
  results = {}
  for name, comprehensiveness_B, sufficiency_B in zip(
    weights, *erasure(trained, batch, classes_B, weights_MxBxT)
  ):
    results[f'{name}: comprehensiveness'] = comprehensiveness_B
    results[f'{name}: sufficiency'] = sufficiency_B
  return results


def _mean(values_N: np.ndarray) -> dict[str, float]:
  """Returns a mean over texts with Student's interval, NaN for one text."""
  interval = student(values_N)
  value = float(np.mean(values_N))
  return {'value': value, 'low': interval.low, 'high': interval.high}
