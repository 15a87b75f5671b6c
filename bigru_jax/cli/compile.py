"""Says whether a run fits on GPUs or TPUs, which need not be there.

  bigru compile --target=h100x8 --dataset=trec --data_dir=FOLDER
  bigru compile --target=v5e:4x4 --train=reviews.csv --largest_batch_size

It reads the data as `bigru run` does and takes its flags, compiles the training
step, evaluation and prediction for the target's devices, and prints what each
takes: the memory of a device, what moves between devices, on a TPU operations
and bytes, on a GPU the kernels per time step. It uses the largest batch of the
first epoch. It measures no time.

The exit status is 1 if it does not fit. The compilers are packages, which run
on a CPU; without one the command says what to install.
"""

import dataclasses
import logging
import os
import pathlib
from typing import Any

import jax

from bigru_jax.cli import config_flags, outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.compilation import steps, targets
from bigru_jax.config import Config
from bigru_jax.data.cache import prepare_shared
from bigru_jax.data.class_weights import weigh_classes
from bigru_jax.data.prepare import Dataset
from bigru_jax.reports import tables
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.source import Source, prepare_from
from bigru_jax.training import effects

_log = logging.getLogger('bigru_jax.compile')
_STEPS = 'train', 'evaluate', 'predict'

FLAGS = Flags()
VERBOSE = True
_TARGET = FLAGS.string(
  'target', f'The devices: {targets.FORMS}. GPUs are those of one machine.'
)
_OUTPUT = FLAGS.path('output', 'A .json file, which gets the same as numbers.')
_LARGEST_BATCH_SIZE = FLAGS.boolean(
  'largest_batch_size',
  'Search the largest batch_size with which training fits, by bisection: it is '
  'at least 15/16 of the true one, and at most the number of training texts.',
)
config_flags.define_flags(
  FLAGS,
  [x.name for x in dataclasses.fields(Config) if x.name != 'cpu_devices'],
)


def read_data(config: Config) -> tuple[Dataset, Source | None]:
  """Reads the data and the run of init_from; refuses what `bigru run` does."""
  effects.check_has_labels(config)
  effects.check_effects(config, None)
  data, source = prepare_from(config, prepare_shared)
  data = weigh_classes(data, config.class_weights)
  effects.check_split_seed(config, data.identity)
  effects.check_labels(config, data.labels)
  return data, source


def compile_or_refuse(
  config: Config,
  data: Dataset,
  source: Source | None,
  target: targets.Target,
  names: Any = _STEPS,
) -> list[steps.CompiledStep]:
  """Returns the compiled steps; none if the compiler finds too little memory.

  The compiler for TPUs does; that for GPUs compiles what does not fit.
  """
  try:
    return steps.compile_steps(config, data, target, names, source)
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    _log.info('batch_size=%d: %s', config.batch_size, _first_line(error))
    return []


def fits(compiled: list[steps.CompiledStep], target: targets.Target) -> bool:
  """Returns whether all steps compiled and fit into a device's memory."""
  memories = [step.memory for step in compiled]
  return bool(memories) and max(memories) <= target.memory


def largest_batch_size(
  config: Config,
  data: Dataset,
  source: Source | None,
  target: targets.Target,
  first_fits: bool,
) -> int:
  """Returns about the largest batch size with which training fits.

  Args:
    config: the configuration, whose batch size is the first.
    data: its data.
    source: the run of init_from, if there is one.
    target: the devices.
    first_fits: whether the configuration's own batch size fits.
  """
  num_texts = len(data.splits['train'])

  def size_fits(size: int) -> bool:
    if size == config.batch_size:
      return first_fits
    if size > num_texts:
      return False
    changed = dataclasses.replace(config, batch_size=size)
    compiled = compile_or_refuse(changed, data, source, target, ['train'])
    result = fits(compiled, target)
    _log.info('batch_size=%d %s', size, 'fits' if result else 'does not fit')
    return result

  return steps.largest_batch_size(
    size_fits, config.batch_size, len(target.devices)
  )


def as_json(step: steps.CompiledStep, target: targets.Target) -> dict[str, Any]:
  """Returns what a step takes, without the text of its program."""
  values = dataclasses.asdict(step)
  del values['text']
  return {**values, 'memory': step.memory, 'fits': fits([step], target)}


def table(compiled: list[steps.CompiledStep], target: targets.Target) -> str:
  """Returns what each step takes, with a column for each step."""
  rows = [['', *(step.name for step in compiled)]]

  def add(label: str, values: list[str]) -> None:
    if any(values):
      rows.append([label, *values])

  def megabytes(label: str, values: list[float | None]) -> None:
    add(label, ['' if x is None else f'{x / 1e6:,.1f}' for x in values])

  shapes = [' x '.join(map(str, step.tokens)) for step in compiled]
  add('tokens, all devices', shapes)
  megabytes('arguments, MB', [step.arguments for step in compiled])
  megabytes('outputs, MB', [step.outputs for step in compiled])
  megabytes('outputs over arguments, MB', [step.aliased for step in compiled])
  megabytes('temporary, MB', [step.temporaries for step in compiled])
  megabytes('memory in all, MB', [step.memory for step in compiled])
  megabytes('memory of a device, MB', [target.memory for _ in compiled])
  add('fits', ['yes' if fits([x], target) else 'no' for x in compiled])
  megabytes('operations, million', [step.flops for step in compiled])
  megabytes('read and written, MB', [step.bytes_accessed for step in compiled])
  moved = [{x.kind: x for x in step.collectives} for step in compiled]
  for kind in sorted({kind for step in moved for kind in step}):
    by_step = [step.get(kind) for step in moved]
    add(f'{kind}, count', ['' if x is None else str(x.count) for x in by_step])
    megabytes(f'{kind}, MB', [None if x is None else x.bytes for x in by_step])
  kernels = [
    ' + '.join(f'{x:g}' for x in step.kernels_per_step) for step in compiled
  ]
  add('kernels per time step, by loop', kernels)
  return '\n'.join(tables.aligned(rows, left=1))


def main() -> int:
  """Compiles, and prints what each step takes on one device."""
  FLAGS.require('target')
  output = _OUTPUT.value or ''
  if output:
    outputs.check_output(output)
    if not output.endswith('.json'):
      raise ValueError(f'output={output}: the file must end in .json')
  config = config_flags.from_flags(FLAGS)
  # Only compilers are needed: no device is taken, no server of TPUs is asked,
  # and no other program with the compiler for TPUs is in the way.
  os.environ['TPU_SKIP_MDS_QUERY'] = '1'
  os.environ['ALLOW_MULTIPLE_LIBTPU_LOAD'] = '1'
  jax.config.update('jax_platforms', 'cpu')
  target = targets.find(_TARGET.value)
  data, source = read_data(config)
  compiled = compile_or_refuse(config, data, source, target)
  all_fit = fits(compiled, target)
  result = {
    'target': target.name,
    'devices': len(target.devices),
    'memory_of_a_device': target.memory,
    'batch_size': config.batch_size,
    'fits': all_fit,
    'steps': [as_json(step, target) for step in compiled],
  }
  if compiled:
    print(f'One of the {len(target.devices)} devices of {target.name}:\n')
    print(table(compiled, target))
  else:
    print(f'batch_size={config.batch_size} does not fit on {target.name}')
  if _LARGEST_BATCH_SIZE.value:
    largest = largest_batch_size(config, data, source, target, all_fit)
    result['largest_batch_size'] = largest
    print(f'\nlargest batch_size that fits: {largest}')
  if output:
    run_files.write_json(pathlib.Path(output), result)
  return 0 if all_fit else 1


def _first_line(error: Exception) -> str:
  return str(error).partition('\n')[0]
