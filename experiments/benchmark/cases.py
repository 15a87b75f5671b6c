"""The cases of the benchmark and their data, in NumPy for all programs."""

from collections.abc import Callable, Iterator
import dataclasses
import itertools
import pathlib
from typing import Any

import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.epoch_plan import choose_buckets
from bigru_jax.data.prepare import prepare
from bigru_jax.data.ragged import pack
from bigru_jax.data.splits import Table
from bigru_jax.runtime.prefetch import prefetch

DROPOUT = 0.5
SAMPLED_WORDS = 1024  # Of the softmax of a language model.
LEARNING_RATE = 1e-3
DTYPES = 'float32', 'bfloat16'
Call = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Case:
  """One piece of work of one size.

  Attributes:
    work: `forward` returns the states [B, T, 2H]; `backward` also runs the
      forward pass, and returns the inputs' gradients [B, T, E]; `step` and
      `epoch` train, and return the number of tokens, and `pretraining` is a
      step of a language model with a sampled softmax; `inference` returns a
      label per text, as does `serving`, which starts from the strings.
    batch, length, embedding, hidden: B, T, E, and H of one direction; the texts
      of a data set have at most `length` tokens (0: the default of run.py).
    vocabulary: the size of the vocabulary of random tokens.
    dataset: the data set of run.py or the file, for the other kinds of work;
      if empty, the texts are random tokens as those of a step.
    sentences: the number of texts that inference and serving label, and of
      random texts of an epoch.
    dtype: the dtype of the computation; parameters are float32.
    optimizer: that of our program; the baselines have Adam.
  """

  work: str
  batch: int
  length: int
  embedding: int
  hidden: int
  vocabulary: int = 20_000
  dataset: str = 'rotten_tomatoes'
  sentences: int = 10_000
  dtype: str = 'float32'
  optimizer: str = 'adam'

  def with_dtype(self, dtype: str) -> 'Case':
    """Returns the case in another dtype."""
    return dataclasses.replace(self, dtype=dtype)

  @property
  def flops(self) -> int:
    """The encoder's FLOPs: two directions, three times that with gradients."""
    positions, gates = self.batch * self.length, 3 * self.hidden
    forward = 2 * 2 * positions * (self.embedding + self.hidden) * gates
    return forward * {'forward': 1, 'backward': 3}.get(self.work, 0)

  @property
  def config(self) -> Config:
    """The configuration that reads the texts."""
    is_file = pathlib.Path(self.dataset).is_file()
    return Config(
      dataset=Config.dataset if is_file else self.dataset,
      train=self.dataset if is_file else '',
      max_length=self.length or Config.max_length,
      embedding_size=self.embedding,
      hidden_size=self.hidden,
      dtype=self.dtype,
    )


@dataclasses.dataclass(frozen=True)
class Texts:
  """Encoded texts, and the sizes of a model for them."""

  split: EncodedSplit
  vocabulary: int
  classes: int

  def train(self, batch_size: int, step: Callable[[Any], Any]) -> Call:
    """Makes a call that trains for an epoch and returns its tokens.

    Args:
      batch_size: the examples of a batch.
      step: a function batch -> loss, an array of one number.
    """
    epochs = itertools.count(1)

    def call() -> int:
      plan = self.split.plan(batch_size, 0, next(epochs))
      for batch in self._batches(plan, batch_size):
        loss = step(batch)
      if not np.isfinite(loss.item()):
        raise ValueError('the loss is not finite')
      return len(self.split.table['tokens'].values)

    return call

  def predict(
    self, batch_size: int, logits_of: Callable[[Any], Any]
  ) -> np.ndarray:
    """Returns the label of each text, by a function batch -> logits_BxC."""
    plan = self.split.plan(batch_size)
    # All batches are dispatched before the first result is read.
    logits = [logits_of(batch) for batch in self._batches(plan, batch_size)]
    labels = np.zeros(len(self.split), np.int64)
    for (_, indices), logits_BxC in zip(plan, logits):
      labels[indices] = to_numpy(logits_BxC)[: len(indices)].argmax(-1)
    return labels

  def _batches(self, plan: Any, batch_size: int) -> Iterator[Any]:
    """Yields the batches of a plan, made ahead of time on a thread."""
    return prefetch(self.split.batch(x, n, batch_size) for n, x in plan)


def to_numpy(array: Any) -> np.ndarray:
  """Copies an array of NumPy, JAX or PyTorch, on any device."""
  is_tensor = hasattr(array, 'cpu')
  return np.asarray(array.detach().float().cpu() if is_tensor else array)


def encoder_arrays(case: Case) -> tuple[np.ndarray, np.ndarray]:
  """Inputs [B, T, E] and an incoming gradient [B, T, 2H]."""
  rng = np.random.default_rng(0)
  shape = case.batch, case.length
  x_BxTxE = rng.standard_normal((*shape, case.embedding), np.float32)
  return x_BxTxE, rng.standard_normal((*shape, 2 * case.hidden), np.float32)


def make_texts(case: Case, shape_cost: int = 0) -> Texts:
  """Returns a data set's texts, or random tokens, for a step one batch.

  Args:
    case: the case.
    shape_cost: see `choose_buckets`; 0 pads the least, with the most shapes,
      which is best for a program whose compilation is not timed.
  """
  vocabulary, classes = case.vocabulary, 2
  is_step = case.work in ('step', 'pretraining')
  if is_step or not case.dataset:
    rng = np.random.default_rng(0)
    count = case.batch if is_step else case.sentences
    tokens_NxT = rng.integers(1, vocabulary, (count, case.length), np.int32)
    labels = rng.integers(0, 2, count, np.int32)
    tokens = pack(list(tokens_NxT))
  else:
    data = prepare(case.config)
    train = data.splits['train']
    tokens, labels = train.table['tokens'], train.label_array()
    vocabulary, classes = data.tokenizer.size, len(data.labels)
  if case.work == 'inference' and case.dataset:
    indices = np.resize(np.arange(len(labels)), case.sentences)
    tokens, labels = tokens[indices], labels[indices]
  weights = np.ones(len(labels), np.float32)
  split = EncodedSplit(
    table=Table({'tokens': tokens, 'label': labels, 'weight': weights}),
    buckets=choose_buckets(tokens.lengths, shape_cost=shape_cost),
  )
  return Texts(split, vocabulary, classes)
