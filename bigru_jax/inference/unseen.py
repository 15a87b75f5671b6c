"""Looks up words unseen in training in the run's files of vectors."""

from __future__ import annotations

from collections.abc import Collection
import functools
import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.encode import EncodedTexts
from bigru_jax.data.glove import names_of
from bigru_jax.data.text import TOKENIZERS, UNK, UNK_ID
from bigru_jax.data.vector_sets import UnseenWords
from bigru_jax.models.embedding import mean_of_ngrams, ngram_ids
from bigru_jax.rundir import source


class SpelledWords:
  """The vectors of unseen words, from their n-grams and a file of vectors."""

  def __init__(self, rows_RxE: Any, from_file: UnseenWords | None) -> None:
    """Keeps the vectors of the n-grams.

    Args:
      rows_RxE: the parameter `ngram_embedding` of a run.
      from_file: the run's file of vectors, if it has one.
    """
    self._rows_RxE, self._from_file = np.asarray(rows_RxE), from_file

  def lookup(self, words: Collection[str]) -> dict[str, np.ndarray]:
    """Returns the float32 vectors of all words.

    They are of none if the file cannot be read, because a vector without the
    file's part is not what the run was trained with.
    """
    vectors = self._from_file.lookup(words) if self._from_file else {}
    if vectors is None:
      return {}
    means = mean_of_ngrams(self._rows_RxE, ngram_ids(list(words)))
    return {w: mean + vectors.get(w, 0) for w, mean in zip(words, means)}


def unseen_words(
  config: Config, identity: dict[str, str], embeddings: str = ''
) -> UnseenWords | None:
  """Returns the vectors of words unseen in training; None without files.

  Args:
    config: the run's configuration.
    identity: the digests of its data.
    embeddings: the files of vectors, or the run of init_from, if they have
      moved.

  Raises:
    FileNotFoundError, ValueError: `embeddings` are not the run's.
  """
  if config.init_from and config.tokenizer in TOKENIZERS:
    name = embeddings or config.init_from
    open_run = functools.partial(source.lookup_of, name, identity['init_from'])
    if embeddings:
      lookup = open_run()
      return UnseenWords(lambda: lookup)
    return UnseenWords(open_run)
  sets = config.vector_sets
  if not sets:
    if embeddings:
      raise ValueError(
        f'embeddings={embeddings} needs a run that started from vectors'
      )
    return None
  if embeddings:
    sets = sets._replace(names=tuple(names_of(embeddings)))
    sets.check_sha256(identity['embeddings'])
  return UnseenWords(functools.partial(sets.open, identity['embeddings']))


def with_unseen_words(
  params: Any,
  unseen: UnseenWords | SpelledWords,
  first_id: int,
  texts: EncodedTexts,
) -> tuple[Any, EncodedTexts]:
  """Adds rows for unseen words to the embedding table, and sets their ids.

  Args:
    params: the parameters of the model.
    unseen: what gives vectors to words.
    first_id: the id of the first new row of the embedding table.
    texts: the encoded texts with their tokens; unseen words have the unknown
      id.
  """
  ids = texts.ids.tokens
  unknown = np.flatnonzero(ids == UNK_ID)
  tokens = list(itertools.chain.from_iterable(texts.tokens))
  words = {tokens[i] for i in unknown} - {UNK}
  vectors = unseen.lookup(sorted(words))
  if not vectors:
    return params, texts
  new_ids = {word: first_id + i for i, word in enumerate(vectors)}
  ids = ids.copy()
  ids[unknown] = [new_ids.get(tokens[i], UNK_ID) for i in unknown]
  texts = texts._replace(ids=texts.ids._replace(tokens=ids))
  return with_rows(params, list(vectors.values())), texts


def with_rows(params: Any, vectors: list[np.ndarray]) -> Any:
  """Returns the parameters with rows added to the embedding table.

  The table has few sizes, since programs are compiled for each.

  Args:
    params: the parameters of the model.
    vectors: the first new rows; the remaining ones are zeros.
  """
  table_VxE = params['embedding']
  count = max(256, 2 ** (len(vectors) - 1).bit_length())
  new_NxE = np.zeros((count, table_VxE.shape[1]), np.float32)
  new_NxE[: len(vectors)] = vectors or 0.0
  return {**params, 'embedding': jnp.concatenate([table_VxE, new_NxE])}
