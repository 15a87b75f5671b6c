"""Compares what a device computes with the same on the CPU.

An error is the largest difference of an array, divided by the largest value of
the array on the CPU.
"""

import functools
import importlib.metadata
import pathlib
from typing import Any

from cases import Case, make_texts
import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np
import optax
import ours

from bigru_jax import parallel
from bigru_jax.cli import command
from bigru_jax.ops.gru import GRUParams, bidirectional_gru
from bigru_jax.training.trainer import Trainer

PACKAGES = 'jax', 'jaxlib', 'flax', 'keras', 'torch', 'libtpu'
# By name the dtype, the precision of products, and the bound of an error. The
# default precision of float32 products is TF32 on a GPU, bfloat16 on a TPU.
PRECISIONS = {
  'float32, highest': ('float32', 'highest', 1e-4),
  'float32': ('float32', 'default', 5e-2),
  'bfloat16': ('bfloat16', 'default', 1e-1),
}


def describe() -> dict[str, Any]:
  """Returns the device, the driver and the versions, or the `problem`."""
  try:
    device = jax.devices()[0]
  except RuntimeError as error:
    return {'problem': command.missing_backend(error)}
  driver = pathlib.Path('/proc/driver/nvidia/version')
  versions = {}
  for name in PACKAGES:
    try:
      versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      versions[name] = ''
  is_gpu = device.platform == 'gpu'
  return {
    'platform': device.platform,
    'name': device.device_kind,
    'runtime': device.client.platform_version,
    'driver': driver.read_text().splitlines()[0] if is_gpu else '',
    'versions': versions,
  }


def cuda_problem() -> str:
  """Returns why PyTorch cannot use a GPU, or ''."""
  import torch

  found = torch.cuda.is_available()
  return '' if found else f'PyTorch {torch.__version__} finds no GPU'


def check_gru(implementation: str, case: Case) -> dict[str, Any]:
  """Returns the errors of an implementation's states and gradients.

  The reference is computed on the CPU in float64, from the same rounded inputs.
  """
  run = jax.jit(functools.partial(_run_gru, case, implementation))
  reference = jax.jit(functools.partial(_run_gru, case, 'reference'))
  answers = {}
  for name, (dtype, precision, bound) in PRECISIONS.items():
    rounded = jax.tree.map(
      lambda x, dtype=dtype: x.astype(jnp.dtype(dtype)), _gru_inputs(case)
    )
    with jax.default_matmul_precision(precision):
      results = jax.device_get(run(*rounded))
    with jax.enable_x64(True), jax.default_device(jax.devices('cpu')[0]):
      wide = jax.tree.map(lambda x: x.astype(np.float64), rounded)
      expected = jax.device_get(reference(*wide))
    answers[name] = _worst(results, expected) | {'bound': bound}
  return answers


def _gru_inputs(case: Case) -> Any:
  """Returns inputs, parameters, initial states and both gradients."""
  rng = np.random.default_rng(0)
  batch, time = case.batch, case.length
  features, hidden = case.embedding, case.hidden

  def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
    return scale * rng.standard_normal(shape)

  arrays: dict[str, Any] = {
    'w_input_DxGxE': normal(2, 3 * hidden, features, scale=features**-0.5),
    'w_recurrent_DxGxH': normal(2, 3 * hidden, hidden, scale=hidden**-0.5),
    'b_DxG': normal(2, 3 * hidden, scale=0.1),
    'b_n_DxH': normal(2, hidden, scale=0.1),
  }
  params = GRUParams(**arrays)
  start_DxBxH = normal(2, batch, hidden)
  dy = normal(batch, time, 2 * hidden), normal(2, batch, hidden)
  return normal(batch, time, features), params, start_DxBxH, dy


def _run_gru(
  case: Case, implementation: str, x: Any, params: Any, start: Any, dy: Any
) -> dict[str, Any]:
  """Returns states and gradients; the lengths of the texts are 1 to T."""
  lengths_B = np.linspace(1, case.length, case.batch).astype(int)
  mask_BxT = jnp.arange(case.length) < lengths_B[:, None]

  def states(x, params, start):
    return bidirectional_gru(
      x, mask_BxT, params, initial_state=start, implementation=implementation
    )

  (h, final), pull_back = jax.vjp(states, x, params, start)
  dx, dparams, dstart = pull_back(dy)
  gradients = {f'd{name}': x for name, x in dparams._asdict().items()}
  return {'h': h, 'final': final, 'dx': dx, 'dstart': dstart, **gradients}


def check_update(case: Case) -> dict[str, Any]:
  """Returns the errors of the loss and of Adam's moments after a training step.

  The reference is the float32 step on the CPU, with the same dropout. (The
  parameters are not compared, since Adam's first step has the size of the
  learning rate also where the gradient is almost zero.)
  """
  devices = jax.devices('cpu')[0], jax.devices()[0]
  on_cpu = _update(case, 'float32', devices[0])
  answers = {}
  for name, (dtype, precision, bound) in PRECISIONS.items():
    # Not a context: the trainer compiles on other threads.
    jax.config.update('jax_default_matmul_precision', precision)
    on_device = _update(case, dtype, devices[1])
    answers[name] = _worst(on_device, on_cpu) | {'bound': bound}
  jax.config.update('jax_default_matmul_precision', None)
  return answers


def _update(case: Case, dtype: str, device: jax.Device) -> dict[str, Any]:
  """Returns the loss and Adam's moments of all parameters after a step."""
  texts = make_texts(case)
  with jax.default_device(jax.devices('cpu')[0]):
    config, program = ours.configured(case.with_dtype(dtype), texts)
  mesh = parallel.mesh_of([device])
  trainer = Trainer(config, program, {'train': texts.split}, mesh)
  for _ in trainer.train_epoch(1):
    pass
  state = jax.device_get(trainer.state)
  trainer.close()
  moments = {
    name: ravel_pytree(optax.tree.get(state.opt_state, name))
    for name in ('mu', 'nu')
  }
  return {'loss': state.loss_sum, **{k: x for k, (x, _) in moments.items()}}


def _worst(results: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
  """Returns the largest error and the name of its array."""
  errors = {}
  for name, array in expected.items():
    array = np.asarray(array, np.float64)
    difference = np.abs(np.asarray(results[name], np.float64) - array).max()
    error = float(difference / max(np.abs(array).max(), 1e-30))
    errors[name] = error if np.isfinite(error) else float('inf')
  worst = max(errors, key=lambda name: errors[name])
  return {'error': errors[worst], 'array': worst}
