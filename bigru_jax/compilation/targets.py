"""Devices to compile for that are not there.

XLA compiles for a TPU from the name of a topology, and for a GPU from a
description of it. Both compilers run on a CPU. That for TPUs is the package
`libtpu`, that for GPUs `jax-cuda13-plugin` with `nvidia-cuda-nvcc`; an
environment holds one of them.
"""

from collections.abc import Sequence
import dataclasses

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


def gpus(name: str, count: int = 1) -> Sequence[jax.Device]:
  """Returns devices of one machine to compile for.

  Args:
    name: a key of `GPUS`.
    count: the number of devices.

  Raises:
    ValueError: the name is unknown, or the package of the compiler is missing.
  """
  if name not in GPUS:
    raise ValueError(f'target={name!r}: choose one of {", ".join(GPUS)}')
  gpu = GPUS[name]
  major, minor = gpu.compute_capability
  description = _DESCRIPTION.format(
    gpu=gpu,
    shared_memory_per_block=gpu.shared_memory - _KIB,
    major=major,
    minor=minor,
  )
  try:
    topology = topologies.get_topology_desc(
      platform='cuda', target_config=description, topology=f'1x1x{count}'
    )
  except (RuntimeError, ValueError, NotImplementedError) as error:
    raise ValueError(
      f'target={name!r}: no compiler for GPUs is installed: pip install '
      f'jax-cuda13-plugin jax-cuda13-pjrt nvidia-cuda-nvcc ({error})'
    ) from error
  return topology.devices
