"""The digest of the examples of a split, which identifies a run's data."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from bigru_jax.data.labels import Flags
from bigru_jax.data.soft_labels import SoftLabel
from bigru_jax.data.splits import Example


class SplitDigest:
  """The SHA-256 of a split's texts, labels and weights in their order."""

  def __init__(self) -> None:
    self._sha256 = hashlib.sha256()

  def add(self, example: Example) -> bytes:
    """Adds one example; returns the digest of its text."""
    data = example.text.encode('utf-8', 'surrogatepass')
    digest = hashlib.sha256(data).digest()
    self._sha256.update(digest)
    label: Any = example.label
    if isinstance(label, Flags | SoftLabel):
      label = label.values
    is_name = isinstance(label, str)
    written = label if is_name else json.dumps(label, sort_keys=True)
    label_bytes = written.encode('utf-8', 'surrogatepass')
    self._sha256.update(hashlib.sha256(label_bytes).digest())
    if example.weight != 1:
      weight = f'weight {example.weight}'.encode()
      self._sha256.update(hashlib.sha256(weight).digest())
    return digest

  def hexdigest(self) -> str:
    """Returns the digest of the examples so far."""
    return self._sha256.hexdigest()
