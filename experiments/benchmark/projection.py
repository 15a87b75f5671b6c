"""What more devices would give, by arithmetic on what `scaling.py` measured.

A step of N devices, each with b examples of T tokens, takes

  max(compute(b) + collectives(b, N), input(b))

since the process makes the next batches meanwhile. Ring and pairwise algorithms
move the bytes, trees pay the latency (Thakur, Rabenseifner & Gropp, 2005,
https://doi.org/10.1177/1094342005051521):

  sum of n bytes          2 (N - 1) / N n / bandwidth + 2 log2(N) latency
  all-to-all of n bytes   (N - 1) / N n / bandwidth + (N - 1) latency

An epoch is its steps, and the epoch plan before them.
"""

import dataclasses
import math
from typing import Any

from bigru_jax.reports.tables import markdown

FLOAT = 4  # Bytes.


@dataclasses.dataclass(frozen=True)
class Corpus:
  """A data set.

  Attributes:
    documents: of its training set (Zhang, Zhao & LeCun, 2015,
      https://arxiv.org/abs/1509.01626).
    length: T, the mean words of a document (of Yelp 2015 and of Amazon
      reviews: Yang et al., 2016, https://aclanthology.org/N16-1174).
  """

  documents: int
  length: int


CORPORA = {
  'Yelp polarity': Corpus(560_000, 152),
  'Amazon polarity': Corpus(3_600_000, 92),
}


@dataclasses.dataclass(frozen=True)
class Device:
  """A device; its numbers are assumptions but where they are measured.

  Attributes:
    flops: it computes in a second.
    iteration: seconds of one position of the recurrence, whatever the batch.
    fixed: seconds of a step, whatever the batch and the length.
    bandwidth: bytes in a second between two devices, in one direction.
    latency: seconds of a message.
    per_process: devices of a process, which makes the batches of all of them.
  """

  flops: float
  iteration: float
  fixed: float
  bandwidth: float
  latency: float
  per_process: int


# A tenth of the 67 TFLOP/s of an NVIDIA H100 in float32; 400 Gb/s between any
# two; a loop of XLA takes 8 us per iteration with a single small kernel on a
# GPU (https://github.com/QuantEcon/lecture-python-programming/issues/440), and
# the recurrence has several. A process per device, as launch/slurm.sbatch
# starts them.
ACCELERATOR = Device(
  flops=6.7e12, iteration=20e-6, fixed=0.0, bandwidth=50e9, latency=10e-6,
  per_process=1,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Sizes:
  """A model's sizes: its parameters but the table; V, E, H of a direction."""

  dense: int
  vocabulary: int
  embedding: int
  hidden: int

  @property
  def flops_per_token(self) -> float:
    """With gradients: of the two directions and of the attention."""
    embedding, hidden = self.embedding, self.hidden
    gates = 2 * (embedding + hidden) * 3 * hidden
    return 6 * (gates + (2 * hidden) ** 2)


def core(line: dict[str, Any], sizes: Sizes) -> Device:
  """A CPU core as it was measured, with 25 Gb/s between any two.

  A step's time is a line through those of two batches.
  """
  small, full = line['groups']['small batch'], line['groups']['one device']
  per_example = full['step'] - small['step']
  per_example /= full['batch'] - small['batch']
  return Device(
    flops=sizes.flops_per_token * line['length'] / per_example,
    iteration=0.0,
    fixed=max(full['step'] - full['batch'] * per_example, 0.0),
    bandwidth=25e9 / 8,
    latency=50e-6,
    per_process=1,
  )


def step_parts(
  sizes: Sizes, device: Device, devices: int, batch: int, length: int
) -> dict[str, float]:
  """Seconds of the parts of a step: `compute`, `recurrence`, `collectives`.

  Args:
    sizes: of the model.
    device: each of them.
    devices: N.
    batch: b, examples per device.
    length: T.
  """
  tokens = batch * length
  table = sizes.vocabulary * sizes.embedding
  share = (devices - 1) / devices
  log = math.log2(devices)
  sharded = devices > 1 and sizes.embedding % devices == 0
  summed = FLOAT * (sizes.dense + (0 if sharded else table))
  seconds = 2 * share * summed / device.bandwidth + 2 * log * device.latency
  if sharded:
    gathered = FLOAT * tokens * (devices - 1)
    moved = 2 * FLOAT * tokens * sizes.embedding * share
    seconds += (gathered + moved) / device.bandwidth
    seconds += (log + 2 * (devices - 1)) * device.latency
  return {
    'compute': device.fixed + tokens * sizes.flops_per_token / device.flops,
    'recurrence': 2 * length * device.iteration,
    'collectives': seconds if devices > 1 else 0.0,
  }


def epoch(
  corpus: Corpus,
  sizes: Sizes,
  device: Device,
  devices: int,
  batch: int,
  tokens_per_second: float,
  plan_seconds: float,
) -> dict[str, float]:
  """The parts of a step in seconds, its `step`, and the `epoch`.

  Args:
    corpus: trained on.
    sizes, device, devices, batch: see `step_parts`.
    tokens_per_second: that a process makes batches of.
    plan_seconds: of the epoch's plan per document.
  """
  parts = step_parts(sizes, device, devices, batch, corpus.length)
  in_process = batch * min(devices, device.per_process)
  parts['input'] = in_process * corpus.length / tokens_per_second
  step = parts['compute'] + parts['recurrence'] + parts['collectives']
  step = max(step, parts['input'])
  steps = math.ceil(corpus.documents / (batch * devices))
  planning = corpus.documents * plan_seconds
  return {
    **parts, 'step': step, 'plan': planning, 'epoch': steps * step + planning,
  }  # fmt: skip


def table(
  line: dict[str, Any],
  plan_seconds: float,
  device: Device | None,
  global_batch: int,
  batch: int,
  counts: tuple[int, ...] = (8, 64, 512),
) -> str:
  """A Markdown table of the corpora on one and more devices.

  Args:
    line: of the level `steps`, of one model.
    plan_seconds: of an epoch's plan per document.
    device: None for a measured core.
    global_batch: of all devices, in the first rows of a corpus.
    batch: per device, in the others.
    counts: numbers of devices.

  Raises:
    ValueError: the global batch has not one example per device.
  """
  if global_batch < max(counts):
    raise ValueError(
      f'global_batch={global_batch} is below the {max(counts)} devices'
    )
  sizes = Sizes(
    *(line[x] for x in ('dense', 'vocabulary', 'embedding', 'hidden'))
  )
  device = device or core(line, sizes)
  one = line['groups']['one device']
  rate = one['batch'] * line['length'] / one['input']
  rows = [['data set', 'devices', 'batch, each', 'compute', 'recurrence',
           'collectives', 'input', 'step, ms', 'epoch, s', 'speed-up',
           'longest part']]  # fmt: skip
  for (name, corpus), is_global in (
    (x, y) for x in CORPORA.items() for y in (True, False)
  ):
    alone = 0.0
    for devices in (1, *counts):
      each = global_batch // devices if is_global else batch
      found = epoch(
        corpus, sizes, device, devices, each, rate, plan_seconds
      )  # fmt: skip
      alone = alone or found['epoch']
      shown = ('compute', 'recurrence', 'collectives', 'input')
      rows.append([
        name, str(devices), str(each),
        *(f'{1e3 * found[part]:.2f}' for part in (*shown, 'step')),
        f'{found["epoch"]:,.1f}', f'{alone / found["epoch"]:.1f}',
        max(shown, key=lambda part: found[part]),
      ])  # fmt: skip
  return markdown(rows)
