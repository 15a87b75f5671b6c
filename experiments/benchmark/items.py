"""What accelerator.py checks and measures, and in which order."""

import dataclasses

from cases import DTYPES, Case
import summaries

from bigru_jax.ops.gru import IMPLEMENTATIONS

SIZES = (64, 22, 100, 128), (256, 128, 300, 256)
BATCHES = 64  # Of an epoch, and of inference.
CHECKED = 64, 22, 100, 64  # Of this size Pallas's kernels fit on every chip.


@dataclasses.dataclass(frozen=True)
class Item:
  """A thing to check or to measure.

  Attributes:
    kind: gru, update, time or memory.
    case: its size, work and dtype.
    implementation: the GRU's, for gru.
  """

  kind: str
  case: Case
  implementation: str = ''

  @property
  def title(self) -> str:
    """The name in the table and in the JSON file."""
    size = summaries.size(self.line)
    if self.kind == 'gru':
      return f'Check of the GRU, {self.implementation}, {size}'
    if self.kind == 'update':
      return f'Check of a training step, {size}'
    title = '{}, in {}'.format(*summaries.TITLES[summaries.kind(self.line)])
    return f'{title}, {size}, {self.case.dtype}'

  @property
  def line(self) -> summaries.Line:
    """What the functions of `summaries` take, without the programs."""
    case = dataclasses.asdict(self.case)
    return {'level': self.kind, **case, 'flops': self.case.flops}


def items(own_size: tuple[int, ...] | None, vocabulary: int) -> list[Item]:
  """Returns the items, the most important first.

  Args:
    own_size: B, T, E and H, which replace the sizes.
    vocabulary: the size of the vocabulary of a training step.
  """
  sizes = [own_size] if own_size else list(SIZES)

  def case(work: str, size: tuple[int, ...]) -> Case:
    batch, length, embedding, hidden = size
    return Case(
      work, batch, length, embedding, hidden, vocabulary=vocabulary,
      dataset='', sentences=BATCHES * batch,
    )  # fmt: skip

  checked = own_size or CHECKED
  # The C++ kernel is for CPUs alone.
  implementations = [name for name in IMPLEMENTATIONS if name != 'cpu']
  works = ('step', 'forward', 'backward', 'epoch', 'inference')
  timed = [
    case(work, size)
    for work in works
    for size in (sizes if work in works[:3] else sizes[-1:])
  ]
  return [
    *(Item('gru', case('backward', checked), x) for x in implementations),
    Item('update', case('step', sizes[0])),
    *(Item('time', x.with_dtype(y)) for x in timed for y in DTYPES),
    *(Item('memory', case('step', sizes[-1]).with_dtype(y)) for y in DTYPES),
  ]
