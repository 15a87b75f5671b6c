"""What stands in the text of a compiled program: its loops and their kernels.

The text is that of `jax.stages.Compiled.as_text()`: XLA's program after all
optimizations, in which an instruction of a GPU's program is a kernel, a call of
a library or nothing. Operations: https://openxla.org/xla/operation_semantics.
"""

from collections.abc import Iterator
import dataclasses
import re

# Instructions that only name, group or wait for what others computed.
_FREE = {
  'add-dependency',
  'after-all',
  'bitcast',
  'constant',
  'get-tuple-element',
  'opt-barrier',
  'parameter',
  'partition-id',
  'replica-id',
  'tuple',
}
_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.-]+) \(.*\{$')
# A name, a type (a tuple has spaces in it), an operation and the rest.
_INSTRUCTION = re.compile(
  r'^\s+(?:ROOT )?%?[\w.-]+ = (?:\(.*?\)|\S+) ([a-z][\w-]*)\((.*)$'
)
_CALLED = re.compile(
  r'(?:to_apply|calls|branch_computations|true_computation|false_computation)='
  r'\{?((?:%?[\w.-]+(?:, )?)+)\}?'
)

_Computations = dict[str, list[tuple[str, str]]]


@dataclasses.dataclass(frozen=True)
class Loop:
  """A loop of a compiled program.

  Attributes:
    name: the operation in the Python program, for example `jit(step)/while`.
    trip_count: how often its body runs, or None if XLA does not know it.
    kernels: the number of kernels that one iteration launches. It includes the
      kernel of the loop's own counter.
  """

  name: str
  trip_count: int | None
  kernels: int


def loops(text: str) -> list[Loop]:
  """Returns the loops of a GPU's program, in the order in which they run.

  A loop within a loop is part of the outer one's kernels. An instruction counts
  as one kernel although a library's matrix product may launch two.

  Args:
    text: `as_text()` of a compiled program.

  Raises:
    ValueError: the text has no entry computation.
  """
  computations, entry = _computations(text)
  result = []
  for operation, rest in computations[entry]:
    if operation == 'while':
      trip_count, body = _while(rest)
      name = re.search(r'op_name="([^"]*)"', rest)
      kernels = _kernels(computations, body)
      result.append(Loop(name[1] if name else '', trip_count, kernels))
  return result


def kernels_per_step(text: str, steps: int, unroll: int = 1) -> list[float]:
  """Returns the kernels per time step of each loop over time.

  Args:
    text: `as_text()` of a GPU's compiled program.
    steps: the number of time steps, T.
    unroll: the number of steps in one iteration. Steps that do not fill an
      iteration are outside of the loop and not counted.
  """
  return [
    loop.kernels / unroll
    for loop in loops(text)
    if loop.trip_count == steps // unroll
  ]


def _computations(text: str) -> tuple[_Computations, str]:
  """Returns each computation's operations with their lines, and the entry."""
  computations: _Computations = {}
  entry, name = '', ''
  for line in text.splitlines():
    if header := _COMPUTATION.match(line):
      name = header[2]
      computations[name] = []
      entry = name if header[1] else entry
    elif name and (instruction := _INSTRUCTION.match(line)):
      computations[name].append((instruction[1], instruction[2]))
  if not entry:
    raise ValueError('the text of the program has no ENTRY computation')
  return computations, entry


def _while(rest: str) -> tuple[int | None, str]:
  """Returns the trip count of a while instruction and its body's name."""
  count = re.search(r'"known_trip_count":\{"n":"(\d+)"', rest)
  body = re.search(r'body=%?([\w.-]+)', rest)
  assert body, rest
  return int(count[1]) if count else None, body[1]


def _kernels(computations: _Computations, name: str) -> int:
  """Returns the number of kernels that one run of a computation launches."""
  total = 0
  for operation, rest in computations[name]:
    if operation == 'while':
      trip_count, body = _while(rest)
      total += (trip_count or 1) * _kernels(computations, body)
    elif operation in ('call', 'conditional', 'async-start'):
      total += max(_kernels(computations, called) for called in _called(rest))
    elif operation not in _FREE and not operation.endswith('-done'):
      total += 1
  return total


def _called(rest: str) -> Iterator[str]:
  for names in _CALLED.findall(rest):
    yield from (name.strip(' %') for name in names.split(','))
