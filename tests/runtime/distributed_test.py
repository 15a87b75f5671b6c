"""Agreement among two real processes; system/distributed_test.py has the tests
of whole runs."""

import json
import subprocess
import sys

import processes
import pytest

from bigru_jax.runtime import distributed

SCRIPT = """
import json, os, sys
import jax, numpy as np

from bigru_jax import parallel
from bigru_jax.runtime import distributed

os.environ['PJRT_NPROC'] = '4'
jax.config.update('jax_num_cpu_devices', 2)
me = int(sys.argv[2])
distributed.initialize(sys.argv[1], 2, me)
found = {'main': distributed.is_main()}
found['gathered'] = distributed.gather(['a', 'bc'][me] * 7 * (me + 1))

def error_of(work):
  try:
    with distributed.agreed():
      work()
  except Exception as error:
    return f'{type(error).__name__}: {error}'

def of_one():
  if me == 1:
    raise FileNotFoundError('no such file')

def of_both():
  raise ValueError(f'mine, {me}')

found['errors'] = [error_of(work) for work in (of_one, of_both, lambda: None)]
try:
  distributed.check_equal('data', {'train': 'ab'[me]})
except ValueError as error:
  found['unequal'] = str(error)
asked = [False]
waited = []
stop = distributed.stop_together(lambda: asked[0], lambda: waited.append(1))
calls = [stop() for _ in range(50)]
asked[0] = me == 1
while not stop():
  calls.append(False)
found['calls'], found['votes'] = len(calls), len(waited)

mesh = parallel.make_mesh(8)
found['owners'] = [d.process_index for d in mesh.devices.flat]
rows = np.arange(32, dtype=np.float32).reshape(8, 4)
share, shares = parallel.share_of_batch(mesh)
batch = parallel.place_batch({'x': np.split(rows, shares)[share]}, mesh)
found['batch'] = parallel.fetch(batch)['x'].tolist()
tree = {'embedding': rows, 'kernel': rows}
placed = parallel.place(tree, parallel.shardings(tree, mesh))
found['local'] = [x.addressable_data(0).shape for x in placed.values()]
found['whole'] = [bool((parallel.fetch(placed)[k] == rows).all()) for k in tree]
found['local_mesh'] = parallel.local_mesh().size
print(json.dumps(found))
"""


def test_two_processes_agree(tmp_path):
  address = f'127.0.0.1:{processes.free_port()}'
  started = [
    subprocess.Popen(
      [sys.executable, '-c', SCRIPT, address, str(i)],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  outputs = [process.communicate(timeout=240) for process in started]
  assert [p.returncode for p in started] == [0, 0], outputs
  first, second = (json.loads(out.splitlines()[-1]) for out, _ in outputs)
  assert first.pop('main') and not second.pop('main')
  assert first.pop('errors') == [
    'ValueError: process 1: no such file', 'ValueError: mine, 0', None
  ]  # fmt: skip
  assert second.pop('errors') == [
    'FileNotFoundError: no such file', 'ValueError: mine, 1', None
  ]  # fmt: skip
  assert first == second
  assert first['gathered'] == ['a' * 7, 'bc' * 14]
  assert first['unequal'] == ('process 1 has other data than process 0')
  assert first['calls'] >= 50 and first['votes'] < first['calls'] / 2
  assert first['owners'] == [0, 0, 1, 1]
  assert first['batch'] == [list(range(4 * i, 4 * i + 4)) for i in range(8)]
  assert first['local'] == [[8, 1], [8, 4]]
  assert first['whole'] == [True, True]
  assert first['local_mesh'] == 2


def test_a_single_process_agrees_with_itself():
  assert distributed.is_main()
  assert distributed.gather({'a': 1}) == [{'a': 1}]
  distributed.wait()
  distributed.check_equal('data', 'x')

  def stop():
    return True

  assert distributed.stop_together(stop, lambda: None) is stop
  with pytest.raises(OSError, match='as it is'), distributed.agreed():
    raise OSError('as it is')
  alone = pytest.raises(ValueError, match='UNKNOWN: one process alone')
  with alone, distributed.lost_processes():
    raise ValueError('UNKNOWN: one process alone has none to lose')


@pytest.mark.parametrize(
  'arguments, message',
  [
    ((None, 2, None), 'give all of coordinator, num_processes and process_id'),
    (('here', 2, 0), 'coordinator=here is not HOST:PORT'),
    (('here:1', 2, 2), 'process_id=2 is not below num_processes=2'),
  ],
)
def test_wrong_arguments_are_refused_before_connecting(arguments, message):
  with pytest.raises(ValueError, match=message):
    distributed.initialize(*arguments)
