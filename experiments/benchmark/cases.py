"""The cases of the benchmark and their data, in NumPy: the same for all."""

from collections.abc import Callable
import dataclasses
import itertools
from typing import Any

import numpy as np

from bigru_jax.config import Config
from bigru_jax.data import batching, text
from bigru_jax.data.prepare import prepare
from bigru_jax.runtime.prefetch import prefetch

DROPOUT = 0.5
LEARNING_RATE = 1e-3
SENTENCES = 10_000
Call = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Case:
  """One piece of work of one size.

  Attributes:
    work: `forward`, which returns the states [B, T, 2H]; `backward`, with the
      forward pass, the inputs' gradients [B, T, E]; `step`, a training step,
      its loss, as does `memory`; `epoch`, the tokens trained on; `inference`,
      the labels of SENTENCES texts.
    batch, length, embedding, hidden: B, T, E, and H of one direction; texts
      have lengths of their own (0).
    dataset, data_dir: of `epoch` and `inference`.
    vocabulary: of `step` and `memory`.
    devices: XLA host devices for ours; 0 for its default.
  """

  work: str
  batch: int
  length: int
  embedding: int
  hidden: int
  dataset: str = 'rotten_tomatoes'
  data_dir: str = ''
  vocabulary: int = 20_000
  devices: int = 0

  @property
  def flops(self) -> int:
    """Of the encoder: two directions' matmuls, three times with gradients."""
    forward = 2 * 2 * self.batch * self.length * 3 * self.hidden
    forward *= self.embedding + self.hidden
    return forward * {'forward': 1, 'backward': 3}.get(self.work, 0)

  @property
  def shape(self) -> tuple[int, ...]:
    """Of what the work returns."""
    return {
      'forward': (self.batch, self.length, 2 * self.hidden),
      'backward': (self.batch, self.length, self.embedding),
      'inference': (SENTENCES,),
    }.get(self.work, ())


@dataclasses.dataclass(frozen=True)
class Texts:
  """The encoded texts of a case, and the sizes of a model for them."""

  case: Case
  split: batching.EncodedSplit
  vocabulary: int
  classes: int

  def training(self, step: Callable[[Any], Any]) -> Call:
    """A call trains for an epoch, by a function batch -> loss."""
    epochs = itertools.count(1)

    def call() -> float:
      plan = self.split.plan(self.case.batch, 0, next(epochs))
      for batch in self._batches(plan):
        loss = step(batch)
      return self.trained(float(loss))

    return call

  def trained(self, loss: float) -> float:
    """What a call returns that has trained for an epoch."""
    return self.split.encoded.offsets[-1] if self.case.work == 'epoch' else loss

  def inference(self, logits_of: Callable[[Any], Any]) -> Call:
    """A call labels each text, by a function batch -> logits_BxC."""
    plan = self.split.plan(self.case.batch)

    def call() -> np.ndarray:
      # All batches are dispatched before the first result is read.
      logits = [logits_of(batch) for batch in self._batches(plan)]
      labels = np.zeros(len(self.split), np.int64)
      for (_, rows), logits_BxC in zip(plan, logits):
        labels[rows] = np.asarray(logits_BxC)[: len(rows)].argmax(-1)
      return labels

    return call

  def _batches(self, plan: batching.Plan) -> Any:
    batch, size = self.split.batch, self.case.batch
    return prefetch(batch(rows, length, size) for length, rows in plan)


def encoder_arrays(case: Case) -> tuple[np.ndarray, np.ndarray]:
  """Inputs [B, T, E] and an incoming gradient [B, T, 2H]."""
  rng = np.random.default_rng(0)
  shape = case.batch, case.length
  x_BxTxE = rng.standard_normal((*shape, case.embedding), np.float32)
  return x_BxTxE, rng.standard_normal((*shape, 2 * case.hidden), np.float32)


def make_texts(case: Case) -> Texts:
  """One batch of random tokens for a step, else the texts of a data set."""
  if case.work in ('step', 'memory'):
    rng = np.random.default_rng(0)
    shape = case.batch, case.length
    ids = rng.integers(1, case.vocabulary, shape, np.int32)
    encoded = text.pack(ids, case.length)
    labels = rng.integers(0, 2, case.batch, np.int32)
    vocabulary, classes = case.vocabulary, 2
  else:
    data = prepare(Config(dataset=case.dataset, data_dir=case.data_dir))
    encoded, labels = data.splits['train'].encoded, data.splits['train'].labels
    vocabulary, classes = data.tokenizer.size, len(data.labels)
  if case.work == 'inference':
    texts = np.split(encoded.tokens, encoded.offsets[1:-1])
    encoded = text.pack(itertools.islice(itertools.cycle(texts), SENTENCES))
    labels = np.resize(labels, SENTENCES)
  weights = np.ones(len(labels), np.float32)
  buckets = batching.choose_buckets(encoded.lengths)
  split = batching.EncodedSplit(encoded, labels, weights, buckets)
  return Texts(case, split, vocabulary, classes)
