"""The steps of a run, compiled for devices that are not there.

Compiling proves that a program builds, that it fits into memory, what moves
between devices, and on a GPU how many kernels it launches. It proves nothing
about time.
"""

from collections.abc import Callable, Collection
import dataclasses
from typing import Any

import jax

from bigru_jax import parallel
from bigru_jax.compilation import hlo
from bigru_jax.compilation.targets import Target
from bigru_jax.config import Config
from bigru_jax.data.prepare import Dataset
from bigru_jax.evaluation.steps import make_predict_step
from bigru_jax.ops import gru_scan
from bigru_jax.rundir.source import Source
from bigru_jax.training.program import Program, build_program, build_steps
from bigru_jax.training.state import TrainState

# Compiler options with which the matrix products are those of cuBLAS.
CUBLAS: dict[str, bool | str] = {'xla_gpu_enable_triton_gemm': False}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompiledStep:
  """What a compiled step takes; all bytes are those of one device.

  Attributes:
    name: 'train', 'evaluate' or 'predict'.
    tokens: the shape of the batch's token ids, over all devices.
    arguments, outputs: bytes of the state, the parameters and the batch.
    aliased: bytes of the arguments that the outputs overwrite.
    temporaries: bytes of what lives only within the step.
    flops: floating-point operations of one device, or None: XLA counts them for
      TPUs only.
    bytes_accessed: bytes read and written, likewise.
    collectives: what moves between devices.
    kernels_per_step: on a GPU, the kernels per time step of each loop over the
      words of a text; else empty.
    text: XLA's program after all optimizations.
  """

  name: str
  tokens: tuple[int, ...]
  arguments: int
  outputs: int
  aliased: int
  temporaries: int
  flops: float | None
  bytes_accessed: float | None
  collectives: list[hlo.Collective]
  kernels_per_step: list[float]
  text: str = dataclasses.field(repr=False)

  @property
  def memory(self) -> int:
    """The bytes that are live at the same time."""
    return self.arguments + self.outputs - self.aliased + self.temporaries


def compile_steps(
  config: Config,
  data: Dataset,
  target: Target,
  names: Collection[str] = ('train', 'evaluate', 'predict'),
  source: Source | None = None,
) -> list[CompiledStep]:
  """Compiles training, evaluation and prediction for a target.

  The shape is the largest of the first epoch's batches.

  Args:
    config: the configuration.
    data: its data, which has the vocabulary, the labels and the lengths.
    target: the devices.
    names: the steps.
    source: the run of `init_from`, if there is one.

  Raises:
    ValueError: the devices do not divide the batch.
    jax.errors.JaxRuntimeError: XLA cannot compile it; its message starts with
      RESOURCE_EXHAUSTED if a TPU's memory is too small.
  """
  mesh = parallel.mesh_of(target.devices)
  if config.batch_size % mesh.size:
    raise ValueError(
      f'batch_size={config.batch_size} is not a multiple of the {mesh.size} '
      f'devices of target={target.name!r}'
    )
  program = build_program(config, data, source)
  batch = _with_shardings(
    _largest_batch(config, data, mesh.size), parallel.batch_sharding(mesh)
  )
  batches = dict.fromkeys(('train', 'evaluate', 'predict'), batch)
  if data.unlabelled:  # They have the shapes of the texts beside them.
    fields = {name: batch[name] for name in ('tokens', 'lengths', 'weights')}
    batches['train'] = {**batch, 'unlabelled': fields}
  return [
    _describe(
      name, _compile(step.lower(*arguments, batches[name])), batch, target
    )
    for name, (step, arguments) in _steps(config, program, mesh).items()
    if name in names
  ]


def largest_batch_size(
  fits: Callable[[int], bool], start: int, multiple: int
) -> int:
  """Returns about the largest batch size that fits, by bisection.

  Example:
    >>> largest_batch_size(lambda size: size <= 1000, start=64, multiple=8)
    960

  Args:
    fits: whether a batch size fits; it compiles.
    start: the first size, a multiple of `multiple`.
    multiple: the number of devices.

  Returns:
    A multiple of `multiple` that fits, at least 15/16 of the largest one where
    that has 16 multiples or more; 0 if none does.
  """
  low, high = 0, start
  while fits(high):
    low, high = high, 2 * high
  while high - low > max(multiple, high // 16):
    middle = (low + high) // 2 // multiple * multiple
    if fits(middle):
      low = middle
    else:
      high = middle
  return low


def _steps(config: Config, program: Program, mesh: Any) -> dict[str, Any]:
  """Returns each step and its arguments before the batch, as shapes."""
  steps = build_steps(config, program, mesh, steps_per_epoch=1000)
  state = jax.eval_shape(
    lambda params: TrainState.create(
      params, steps.optimizer, averaged=config.ema_decay > 0
    ),
    program.params,
  )
  state = _with_shardings(state, parallel.shardings(state, mesh))
  replicated = parallel.replicated(mesh)
  metrics = jax.eval_shape(program.task.empty_metrics)
  params = jax.eval_shape(lambda: program.params)
  predict: Any = make_predict_step(program.model, program.task, mesh)
  return {
    'train': (steps.train, (state,)),
    'evaluate': (
      steps.evaluate[False],
      (state.evaluated_params, _with_shardings(metrics, replicated)),
    ),
    'predict': (predict, (_with_shardings(params, replicated), 1.0)),
  }


def _largest_batch(config: Config, data: Dataset, num_shards: int) -> Any:
  """Returns the largest batch of the first epoch, in NumPy."""
  split = data.splits['train'].with_num_shards(num_shards)
  plan = split.plan(config.batch_size, config.seed, 1)
  batches = {
    shape: split.batch(indices, shape, config.batch_size)
    for shape, indices in dict(plan).items()
  }
  return max(batches.values(), key=lambda batch: batch['tokens'].size)


def _with_shardings(tree: Any, shardings: Any) -> Any:
  """Returns the shapes of a pytree, with one sharding or one for each array."""
  if isinstance(shardings, jax.sharding.Sharding):
    shardings = jax.tree.map(lambda _: shardings, tree)
  return jax.tree.map(
    lambda x, sharding: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=sharding
    ),
    tree,
    shardings,
  )


def _compile(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
  """Compiles a step; if XLA's own kernels cannot be, with those of cuBLAS.

  On a card, XLA tries several kernels for a matrix product and drops those that
  cannot be built. Without one it takes the first, and fails.
  """
  try:
    return lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if "Couldn't find output tile sizes" not in str(error):
      raise
    return lowered.compile(compiler_options=CUBLAS)


def _describe(
  name: str, compiled: jax.stages.Compiled, batch: Any, target: Target
) -> CompiledStep:
  text = compiled.as_text() or ''
  memory: Any = compiled.memory_analysis()
  costs = compiled.cost_analysis() or {}
  kernels = []
  if target.platform == 'gpu':
    time = batch['tokens'].shape[-1]
    kernels = hlo.kernels_per_step(text, time, gru_scan.UNROLL)
  return CompiledStep(
    name=name,
    tokens=batch['tokens'].shape,
    arguments=memory.argument_size_in_bytes,
    outputs=memory.output_size_in_bytes,
    aliased=memory.alias_size_in_bytes,
    temporaries=memory.temp_size_in_bytes,
    flops=costs.get('flops'),
    bytes_accessed=costs.get('bytes accessed'),
    collectives=hlo.collectives(text),
    kernels_per_step=kernels,
    text=text,
  )
