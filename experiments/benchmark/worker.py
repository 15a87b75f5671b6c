"""One program of the benchmark in its process: builds a case, runs it on call.

The memory is the peak of the resident set during a call, above what stays
resident between calls: libraries, programs, data, parameters and their moments,
the last three as large for every program.
"""

import contextlib
import importlib
from multiprocessing.connection import Connection
import os
import time
import timeit

from cases import Call, Case
from memory import peak_mib
import numpy as np

MODULES = {'ours': 'ours', 'torch': 'on_torch', 'torch_compile': 'on_torch',
           'keras': 'on_jax', 'flax': 'on_jax', 'haiku': 'on_jax',
           'onnxruntime': 'on_torch', 'peak': 'worker'}  # fmt: skip
PEAK_FLOPS = 2 * 4096 * 300 * 1536
WARM_SECONDS = 0.3


def serve(name: str, case: Case, pipe: Connection, memory: bool) -> None:
  """Sends a first answer, then the seconds of one call for each message.

  The first answer is the shape of what the work returns, its value if it is a
  scalar, and where `memory` is asked for the peak in MiB; or the error.
  """
  os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # Libraries are talkative.
  try:
    module = 'serving' if case.work == 'serving' else MODULES[name]
    call = importlib.import_module(module).build(name, case)
    result = np.asarray(call())
    if not np.isfinite(result).all():
      raise ValueError('the result is not finite')
    shape = list(result.shape)
    value = 0.0 if shape else float(result)
    del result
    mib = peak_mib(call) if memory else 0.0
    pipe.send({'shape': shape, 'value': value, 'mib': mib})
  except Exception as error:  # Whatever it is, the others are still measured.
    pipe.send({'error': f'{type(error).__name__}: {error}'.splitlines()[0]})
    return
  while pipe.recv():
    pipe.send(_seconds(call, case.work))


def build(name: str, case: Case) -> Call:
  """The peak: a float32 matmul, NumPy's or PyTorch's, whichever is faster."""
  del name, case
  a, b = np.ones((4096, 300), np.float32), np.ones((300, 1536), np.float32)
  calls: list[Call] = [lambda: (a @ b)[0, 0]]
  with contextlib.suppress(ImportError):
    import torch

    a_torch, b_torch = torch.from_numpy(a), torch.from_numpy(b)
    calls.append(lambda: (a_torch @ b_torch)[0, 0])
  return min(calls, key=lambda call: min(timeit.repeat(call, number=1)))


def _seconds(call: Call, work: str) -> float:
  """The seconds of one call, a short one after others that are not timed.

  A process that has waited for its turn is up to twice slower at first: cores
  have slept, the caches hold other programs' data. In training nobody waits.
  """
  if work not in ('epoch', 'inference', 'serving'):
    end = time.perf_counter() + WARM_SECONDS
    while time.perf_counter() < end:
      call()
  start = time.perf_counter()
  call()
  return time.perf_counter() - start
