"""Runs one peer: `python -m peers PEER`, JSON lines on its standard streams.

The first line in is a `task.Case`; the answer holds the shape and, of a scalar,
the value of what the work returns, and the peak memory in MiB. Every line after
that is answered by the seconds that the work took once more. The end of the
input is the end.

The memory is the peak of the resident set during a call, above what stays
resident between calls: libraries, programs, data, parameters and their moments,
the last three as large for every peer.
"""

import ctypes
import importlib
import json
import os
import sys
import time

import numpy as np

from peers import task

WARM_SECONDS = 0.3


def _status_mib(name):
  """A line of /proc/self/status, such as VmRSS, in MiB."""
  with open('/proc/self/status', encoding='ascii') as file:
    line = next(line for line in file if line.startswith(f'{name}:'))
  return int(line.split()[1]) / 1024


def _peak_mib(call):
  """What a call takes and gives back."""
  time.sleep(0.5)  # The last call's arrays are freed on XLA's own threads.
  ctypes.CDLL(None).malloc_trim(0)  # Freed memory is not resident now.
  with open('/proc/self/clear_refs', 'w', encoding='ascii') as file:
    file.write('5')  # VmHWM is from here on.
  before = _status_mib('VmRSS')
  call()
  return round(_status_mib('VmHWM') - before, 1)


def prepare(peer, case):
  """Builds a case and runs it to warm up.

  Returns:
    Its function and the first answer.
  """
  call = importlib.import_module(f'peers.{peer}').build(case)
  result = call()
  answer = {'shape': list(np.shape(result))}
  if not answer['shape']:
    answer['value'] = float(result)
  del result
  answer['mib'] = _peak_mib(call)
  return call, answer


def timed(call, work):
  """Seconds of one call, for a short one after others that are not timed.

  A process that has waited for its turn is up to twice slower at first, ours
  more than most: cores have slept, the caches hold the other peers' data. In
  training nobody waits.
  """
  if work not in ('epoch', 'inference'):
    start = time.perf_counter()
    while time.perf_counter() < start + WARM_SECONDS:
      call()
  start = time.perf_counter()
  call()
  return time.perf_counter() - start


def main(peer):
  # What libraries print must not stand among the answers.
  answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
  os.dup2(2, 1)

  def answer(value):
    print(json.dumps(value), file=answers, flush=True)

  case = task.Case(**json.loads(sys.stdin.readline()))
  try:
    call, first = prepare(peer, case)
  except Exception as error:  # Whatever it is, the others go on without it.
    message = (str(error).strip().splitlines() or [''])[0]
    answer({'error': f'{type(error).__name__}: {message}'})
    return
  answer(first)
  for _ in sys.stdin:
    answer({'seconds': timed(call, case.work)})


if __name__ == '__main__':
  main(sys.argv[1])
