"""What stands in the text of a compiled program.

The text is that of `jax.stages.Compiled.as_text()`: XLA's program after all
optimizations, in which an instruction of a GPU's program is a kernel, a call of
a library or nothing. Operations: https://openxla.org/xla/operation_semantics.
"""

import collections
from collections.abc import Iterator
import dataclasses
import math
import re
from typing import NamedTuple

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
_CALLS = {'call', 'conditional', 'async-start'}
_COLLECTIVES = (
  'all-gather',
  'all-reduce',
  'all-to-all',
  'collective-permute',
  'reduce-scatter',
)
_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.-]+) \(.*\{$')
# A name, a type (a tuple has spaces in it), an operation and the rest.
_INSTRUCTION = re.compile(
  r'^\s+(?:ROOT )?%?[\w.-]+ = (\(.*?\)|\S+) ([a-z][\w-]*)\((.*)$'
)
_CALLED = re.compile(
  r'(?:to_apply|calls|branch_computations|true_computation|false_computation)='
  r'\{?((?:%?[\w.-]+(?:, )?)+)\}?'
)
_ARRAY = re.compile(r'\b(pred|(?:[sufc]|bf)\d+\w*)\[([\d,]*)\]')


class _Instruction(NamedTuple):
  type: str
  operation: str
  rest: str


_Computations = dict[str, list[_Instruction]]


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


@dataclasses.dataclass(frozen=True)
class Collective:
  """The collectives of one kind.

  Attributes:
    kind: for example 'all-reduce'.
    count: how many there are; each runs once.
    bytes: the sizes of their results on one device, added up.
  """

  kind: str
  count: int
  bytes: int


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
  for instruction in computations[entry]:
    if instruction.operation == 'while':
      trip_count, body = _while(instruction.rest)
      name = re.search(r'op_name="([^"]*)"', instruction.rest)
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


def collectives(text: str) -> list[Collective]:
  """Returns what moves between devices, by kind in alphabetical order.

  Raises:
    ValueError: there is a collective within a loop, which this does not count.
  """
  computations, entry = _computations(text)
  in_loops = {
    name
    for instructions in computations.values()
    for instruction in instructions
    if instruction.operation == 'while'
    for name in _reached(computations, _while(instruction.rest)[1])
  }
  counts: dict[str, int] = collections.Counter()
  sizes: dict[str, int] = collections.Counter()
  for name in _reached(computations, entry) | in_loops:
    for type_, operation, _ in computations[name]:
      # The start of an asynchronous one has its operands in its type, too.
      kind = operation.removesuffix('-done')
      if kind in _COLLECTIVES:
        if name in in_loops:
          raise ValueError(f'there is a collective within a loop: {kind}')
        counts[kind] += 1
        sizes[kind] += _bytes(type_)
  return [
    Collective(kind, counts[kind], sizes[kind]) for kind in sorted(counts)
  ]


def dtypes(text: str) -> set[str]:
  """Returns the dtypes of all values, by XLA's names, such as 'bf16'."""
  return {dtype for dtype, _ in _ARRAY.findall(text)}


def custom_calls(text: str) -> set[str]:
  """Returns the names of the functions that the program calls.

  Callbacks into Python are among them, and libraries such as cuBLAS.
  """
  return set(re.findall(r'custom_call_target="([^"]*)"', text))


def dot_dtypes(text: str) -> set[str]:
  """Returns the dtypes of the operands of matrix products.

  An operand is named only, so its dtype is that of the last value of its name.
  """
  types = dict(re.findall(r'%([\w.-]+) = (\w+)\[', text))
  types |= dict(re.findall(r'([\w.-]+): (\w+)\[', text))
  products = re.findall(r' (?:dot|convolution)\([^)]*\)', text)
  products += re.findall(r' custom-call\([^)]*\)(?=.*"__cublas)', text)
  names = re.findall(r'%([\w.-]+)', ' '.join(products))
  return {types[name] for name in names if name in types}


def _computations(text: str) -> tuple[_Computations, str]:
  """Returns each computation's instructions, and the entry's name."""
  computations: _Computations = {}
  entry, name = '', ''
  for line in text.splitlines():
    if header := _COMPUTATION.match(line):
      name = header[2]
      computations[name] = []
      entry = name if header[1] else entry
    elif name and (match := _INSTRUCTION.match(line)):
      computations[name].append(_Instruction(*match.groups()))
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
  for _, operation, rest in computations[name]:
    if operation == 'while':
      trip_count, body = _while(rest)
      total += (trip_count or 1) * _kernels(computations, body)
    elif operation in _CALLS:
      total += max(_kernels(computations, called) for called in _called(rest))
    elif operation not in _FREE and not operation.endswith('-done'):
      total += 1
  return total


def _reached(computations: _Computations, name: str) -> set[str]:
  """Returns a computation and those that it calls, other than loops' bodies."""
  names = {name}
  for _, operation, rest in computations[name]:
    if operation in _CALLS or operation == 'fusion':
      for called in _called(rest):
        if called in computations:
          names |= _reached(computations, called)
  return names


def _called(rest: str) -> Iterator[str]:
  for names in _CALLED.findall(rest):
    yield from (name.strip(' %') for name in names.split(','))


def _bytes(type_: str) -> int:
  """Returns the size of a type's arrays."""
  total = 0
  for dtype, shape in _ARRAY.findall(type_):
    bits = re.search(r'\d+', dtype)
    size = int(bits[0]) // 8 if bits else 1  # pred, XLA's bool.
    total += size * math.prod(int(n) for n in shape.split(',') if n)
  return total
