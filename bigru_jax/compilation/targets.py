"""Devices to compile for that are not there.

XLA compiles for a TPU from the name of a topology, and for a GPU from a
description of it. Both compilers run on a CPU. That for TPUs is the package
`libtpu`, that for GPUs `jax-cuda13-plugin` with `nvidia-cuda-nvcc`; an
environment holds one of them. Where there is no TPU, libtpu needs
TPU_SKIP_MDS_QUERY=1 in the environment before it is loaded.
"""

from collections.abc import Sequence
import dataclasses
import importlib.metadata
import re
import shlex
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies


@dataclasses.dataclass(frozen=True)
class GPU:
  """What XLA's choices depend on.

  The figures are those of XLA's own descriptions, which come from the cards:
  https://github.com/openxla/xla/tree/main/xla/backends/gpu/target_config/specs.
  They agree with NVIDIA's data sheets of the SXM models.

  Attributes:
    name: the card.
    compute_capability: major and minor version.
    cores: streaming multiprocessors.
    float32_units: units for float32 of one of them.
    shared_memory: bytes of one of them, of which a block gets 1 KiB less.
    memory: bytes.
    bandwidth: of the memory, bytes per second.
    l2_cache: bytes.
    clock: GHz.
  """

  name: str
  compute_capability: tuple[int, int]
  cores: int
  float32_units: int
  shared_memory: int
  memory: int
  bandwidth: int
  l2_cache: int
  clock: float


_KIB, _GB = 2**10, 10**9
GPUS = {
  'a100': GPU(
    name='NVIDIA A100-SXM4-80GB',
    compute_capability=(8, 0),
    cores=108,
    float32_units=64,
    shared_memory=164 * _KIB,
    memory=85_100_068_864,
    bandwidth=2039 * _GB,
    l2_cache=40 * _KIB**2,
    clock=1.41,
  ),
  'h100': GPU(
    name='NVIDIA H100 80GB HBM3',
    compute_capability=(9, 0),
    cores=132,
    float32_units=128,
    shared_memory=228 * _KIB,
    memory=84_942_979_072,
    bandwidth=3352 * _GB,
    l2_cache=50 * _KIB**2,
    clock=1.98,
  ),
  'h200': GPU(
    name='NVIDIA H200 141GB HBM3e',
    compute_capability=(9, 0),
    cores=132,
    float32_units=128,
    shared_memory=228 * _KIB,
    memory=151_397_597_184,
    bandwidth=4800 * _GB,
    l2_cache=50 * _KIB**2,
    clock=1.98,
  ),
  'b200': GPU(
    name='NVIDIA B200',
    compute_capability=(10, 0),
    cores=148,
    float32_units=128,
    shared_memory=228 * _KIB,
    memory=191_514_411_008,
    bandwidth=7672 * _GB,
    l2_cache=132_644_864,
    clock=1.965,
  ),
}
# Limits of every GPU since 2017: CUDA's programming guide, the table of
# technical specifications per compute capability.
_DESCRIPTION = """
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: {shared_memory_per_block}
  shared_memory_per_core: {gpu.shared_memory}
  core_count: {gpu.cores}
  fpus_per_core: {gpu.float32_units}
  memory_bandwidth: {gpu.bandwidth}
  device_memory_size: {gpu.memory}
  l2_cache_size: {gpu.l2_cache}
  clock_rate_ghz: {gpu.clock}
  cuda_compute_capability {{ major: {major} minor: {minor} }}
  device_vendor: "NVIDIA Corporation"
  name: "{gpu.name}"
  driver_version: "13.0.0"
  runtime_version: "13.0.0"
  compile_time_toolkit_version: "13.0.0"
  dnn_version: "9.10.0"
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{gpu.name}"
"""


class TPU(NamedTuple):
  """A chip, which is one device of JAX.

  From Google's pages, https://docs.cloud.google.com/tpu/docs/v5e, v5p and v6e.

  Attributes:
    memory: bytes.
    dimensions: of the topology.
  """

  memory: int
  dimensions: int


TPUS = {
  'v5e': TPU(memory=16 * _GB, dimensions=2),
  'v5p': TPU(memory=95 * _GB, dimensions=3),
  'v6e': TPU(memory=32 * _GB, dimensions=2),
}
FORMS = f'{"|".join(GPUS)}, alone or with a count (h100x8), or a topology of '
FORMS += f'{"|".join(TPUS)} (v5e:4x4, v5p:2x2x1)'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
  """Devices to compile for.

  Attributes:
    name: as it was asked for, for example 'h100x8' or 'v5e:4x4'.
    platform: 'gpu' or 'tpu'.
    devices: descriptions of the devices; nothing can run on them.
    memory: of one device, in bytes.
  """

  name: str
  platform: str
  devices: Sequence[jax.Device]
  memory: int


def compiler_packages(platform: str) -> list[str]:
  """Returns the packages of the compiler for 'gpu' or 'tpu', as pip takes them.

  They are of this JAX's version, and best in a folder of their own: with them
  in its environment, JAX looks for a device at every start.
  """
  if platform == 'gpu':
    plugins = [f'jax-cuda13-{x}=={jax.__version__}' for x in ('plugin', 'pjrt')]
    return ['nvidia-cuda-nvcc', *plugins]
  requirements = importlib.metadata.requires('jax') or []
  return [x.split(';')[0].strip() for x in requirements if 'libtpu' in x]


def find(name: str) -> Target:
  """Returns the devices of a name such as 'h100', 'h100x8' or 'v5e:4x4'.

  GPUs are those of one machine. A TPU topology has four chips for each host.

  Raises:
    ValueError: the name is unknown, there is no such topology, or the package
      of the compiler is missing.
  """
  gpu = re.fullmatch(rf'({"|".join(GPUS)})(?:x([1-9]\d*))?', name)
  tpu = re.fullmatch(rf'({"|".join(TPUS)}):(\d+(?:x\d+){{1,2}})', name)
  if gpu:
    description = _describe(GPUS[gpu[1]])
    devices = _devices(
      name,
      platform='cuda',
      target_config=description,
      topology=f'1x1x{gpu[2] or 1}',
    )
    memory = GPUS[gpu[1]].memory
  elif tpu and tpu[2].count('x') + 1 == TPUS[tpu[1]].dimensions:
    options = {}
    if set(tpu[2]) == set('1x'):
      # One chip does not fill a host of the default, which has four.
      options = {'chips_per_host_bounds': (1, 1, 1)}
    devices = _devices(
      name,
      topology_name=name,
      platform='tpu',
      **options,
    )
    memory = TPUS[tpu[1]].memory
  else:
    raise ValueError(f'target={name!r}: choose {FORMS}')
  platform = 'gpu' if gpu else 'tpu'
  return Target(name=name, platform=platform, devices=devices, memory=memory)


def _describe(gpu: GPU) -> str:
  """Returns XLA's description of a GPU, a GpuTargetConfigProto as text."""
  major, minor = gpu.compute_capability
  return _DESCRIPTION.format(
    gpu=gpu,
    shared_memory_per_block=gpu.shared_memory - _KIB,
    major=major,
    minor=minor,
  )


def _devices(name: str, **options: Any) -> Sequence[jax.Device]:
  """Returns the devices of a topology."""
  try:
    return topologies.get_topology_desc(**options).devices
  except (RuntimeError, ValueError, NotImplementedError) as error:
    message = str(error).splitlines()[0]
    if re.search('not (implemented|installed)', message):
      kind = 'tpu' if options['platform'] == 'tpu' else 'gpu'
      packages = shlex.join(compiler_packages(kind))
      message = (
        f'this needs the compiler for {kind.upper()}s: pip install '
        f'--target=FOLDER {packages}, and PYTHONPATH=FOLDER ({message})'
      )
    raise ValueError(f'target={name!r}: {message}') from error
