"""Prepares texts without labels, from their source to encoded splits."""

from __future__ import annotations

import dataclasses

import numpy as np

from bigru_jax.data import sources
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.config import DataConfig
from bigru_jax.data.epoch_plan import choose_buckets
from bigru_jax.data.holdout import hold_out
from bigru_jax.data.prepare import Dataset, make_tokenizer
from bigru_jax.data.split_notes import describe_splits
from bigru_jax.data.splits import NAMES, Table
from bigru_jax.data.tabulate import read_splits
from bigru_jax.data.truncation import NO_LIMIT
from bigru_jax.data.vocabulary import choose_vocabulary, translate

# The time of the exact softmax grows with the words of these texts and with the
# vocabulary.
_HELD_OUT = 1000


def prepare_texts(
  config: DataConfig, corpus: sources.Corpus | None = None
) -> Dataset:
  """Reads, checks and encodes texts for a language model.

  Their labels are ignored. Long texts become chunks of `max_length` tokens. The
  weight of a chunk is the number of words to predict in both directions.

  Args:
    config: the configuration; of missing splits only validation is held out,
      a tenth of train, and at most 1,000 texts.
    corpus: texts in memory to use instead of the configuration's.

  Returns:
    The data, without labels; `test` may be missing.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  growing, identity = make_tokenizer(config)
  limits = dataclasses.replace(config.limits, max_length=NO_LIMIT)
  tables, _, digests = read_splits(
    sources.read(config, corpus), growing, limits, without_labels=NAMES
  )
  splits, notes = hold_out(
    tables, config.split_seed, ('validation',), at_most=_HELD_OUT
  )
  tokenizer, *_ = choose_vocabulary(config, growing, splits)
  translate(tables, growing, tokenizer)
  notes += describe_splits(splits, tokenizer.size, limits)
  encoded = {}
  for name, table in splits.items():
    chunks = _in_chunks(table, config.max_length)
    if not len(chunks):
      raise ValueError(f'{table["source"][0]}: no text of {name} has two words')
    predictions = int(chunks['weight'].sum())
    notes.append(
      f'{name}: {len(chunks)} chunks of at most {config.max_length} tokens, '
      f'with {predictions} words to predict'
    )
    lengths = chunks['tokens'].lengths
    encoded[name] = EncodedSplit(table=chunks, buckets=choose_buckets(lengths))
  return Dataset(
    name=sources.name_of(config, corpus),
    splits=encoded,
    labels=[],
    label_weights=np.ones(0, np.float32),
    tokenizer=tokenizer,
    seen=tokenizer.size,
    vectors={},
    notes=notes,
    identity=identity | digests,
  )


def _in_chunks(table: Table, size: int) -> Table:
  """Splits the texts into chunks of at most `size` tokens, and at least two."""
  tokens = table['tokens']
  counts = -(-tokens.lengths // size)
  text_of_chunk = np.repeat(np.arange(len(table)), counts)
  firsts = np.repeat(np.cumsum(counts) - counts, counts)
  starts = size * (np.arange(len(text_of_chunk)) - firsts)
  lengths = np.minimum(tokens.lengths[text_of_chunk] - starts, size)
  chunks = table.without('text').take(text_of_chunk)
  chunks = chunks.with_columns(
    tokens=dataclasses.replace(
      chunks['tokens'],
      starts=chunks['tokens'].starts + starts,
      lengths=lengths.astype(np.int32),
    ),
    weight=(2 * (lengths - 1)).astype(np.float32),
  )
  return chunks.take(np.flatnonzero(lengths > 1))
