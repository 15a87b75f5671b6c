"""The cases of the benchmark and their data, in NumPy: the same for all."""

import dataclasses
import itertools

import numpy as np

from bigru_jax.config import Config
from bigru_jax.data import batching, sources, text

DROPOUT = 0.5
LEARNING_RATE = 1e-3


@dataclasses.dataclass(frozen=True)
class Case:
  """One piece of work of one size.

  Attributes:
    work: forward, backward (with the forward), step, epoch or inference.
    batch, length, embedding, hidden: B, T, E and H, a direction's; an epoch and
      inference have the lengths of their texts.
    vocabulary: of a step.
    dataset, data_dir: of an epoch and of inference.
    sentences: of inference.
    devices: XLA host devices for ours, 0 for its default.
  """

  work: str
  batch: int
  length: int
  embedding: int
  hidden: int
  vocabulary: int = 20_000
  dataset: str = 'rotten_tomatoes'
  data_dir: str = ''
  sentences: int = 10_000
  devices: int = 0

  @property
  def flops(self):
    """Of the encoder: two directions' matmuls, thrice with the backward."""
    positions = self.batch * self.length
    gates = 3 * self.hidden
    forward = 2 * 2 * positions * (self.embedding + self.hidden) * gates
    return {'forward': 1, 'backward': 3}[self.work] * forward

  @property
  def shape(self):
    """Of what the work returns."""
    return {
      'forward': [self.batch, self.length, 2 * self.hidden],
      'backward': [self.batch, self.length, self.embedding],
      'inference': [self.sentences],
    }.get(self.work, [])


@dataclasses.dataclass(frozen=True)
class Task:
  """Encoded texts with labels, their buckets, and the sizes of a model."""

  encoded: text.Encoded
  labels: np.ndarray
  buckets: list
  vocabulary: int
  classes: int

  def plan(self, batch_size, epoch=None):
    """An epoch's batches; in order of length where it is None."""
    lengths, seed = self.encoded.lengths, None if epoch is None else 0
    return batching.epoch_plan(
      lengths, self.buckets, batch_size, seed, epoch or 0
    )

  def batches(self, plan, batch_size):
    """The padded batches of a plan, made ahead of time on a thread."""
    return batching.prefetch(
      batching.padded_batch(self.encoded, self.labels, rows, length, batch_size)
      for length, rows in plan
    )


def encoder_arrays(case):
  """Inputs [B, T, E] and an incoming gradient [B, T, 2H]."""
  rng = np.random.default_rng(0)
  shape = case.batch, case.length
  x_BxTxE = rng.standard_normal((*shape, case.embedding), np.float32)
  return x_BxTxE, rng.standard_normal((*shape, 2 * case.hidden), np.float32)


def make_task(case):
  """One batch of random tokens for a step, else the texts of a data set."""
  if case.work == 'step':
    rng = np.random.default_rng(0)
    offsets = np.arange(case.batch + 1) * case.length
    tokens = rng.integers(1, case.vocabulary, offsets[-1], np.int32)
    labels = rng.integers(0, 2, case.batch, np.int32)
    encoded = text.Encoded(tokens, offsets, 0)
    return Task(encoded, labels, [case.length], case.vocabulary, 2)
  corpus = sources.load(Config(dataset=case.dataset, data_dir=case.data_dir))
  texts, labels = corpus.splits['train'].texts, corpus.label_ids('train')
  vocabulary = text.build_vocabulary(map(text.words, texts))
  if case.work == 'inference':
    texts = list(itertools.islice(itertools.cycle(texts), case.sentences))
    labels = np.resize(labels, len(texts))
  encoded = text.encode(texts, text.words, vocabulary)
  buckets = batching.choose_buckets(encoded.lengths)
  return Task(encoded, labels, buckets, len(vocabulary), len(corpus.classes))


def predict(task, batch_size, predict_batch):
  """The labels of all texts.

  Args:
    task: the texts.
    batch_size: texts a batch.
    predict_batch: a batch -> its logits_BxC, perhaps not computed yet.
  """
  plan = task.plan(batch_size)
  found = [predict_batch(batch) for batch in task.batches(plan, batch_size)]
  labels = np.zeros(len(task.labels), np.int64)
  for (_, rows), logits_BxC in zip(plan, found):
    labels[rows] = np.asarray(logits_BxC)[: len(rows)].argmax(-1)
  return labels
