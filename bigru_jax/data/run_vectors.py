"""The word vectors of a trained run, used like a file of vectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
import dataclasses
import logging

import numpy as np

from bigru_jax.data.text import PAD_ID

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunVectors:
  """The vectors of a run's words.

  Attributes:
    name: the run, for messages.
    sha256: the digest of the run.
    ids: the row of each word in the table; without <pad>.
    table_VxE: the vectors.
  """

  name: str
  sha256: str
  ids: Mapping[str, int]
  table_VxE: np.ndarray

  @classmethod
  def of(
    cls, name: str, sha256: str, words: Sequence[str], table_VxE: np.ndarray
  ) -> RunVectors:
    """Returns the vectors of words in the order of the table's rows."""
    ids = {word: i for i, word in enumerate(words) if i != PAD_ID}
    return cls(name=name, sha256=sha256, ids=ids, table_VxE=table_VxE)

  def lookup(self, words: Collection[str]) -> dict[str, np.ndarray]:
    """Returns the float32 vectors of the words that the run has."""
    return {x: self.table_VxE[self.ids[x]] for x in words if x in self.ids}

  def load(
    self, words: Collection[str]
  ) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns the same as `lookup`, and a sentence for the log."""
    vectors = self.lookup(words)
    share = 100 * len(vectors) / max(len(words), 1)
    if not vectors:
      _log.warning('init_from=%s has none of the words', self.name)
    return vectors, [
      f'init_from={self.name}: {share:.1f} % of the words have a vector'
    ]
