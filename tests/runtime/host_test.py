"""Configuring the host, which only the commands do."""

import os
import subprocess
import sys


def _run(code, **environment):
  done = subprocess.run(
    [
      sys.executable,
      '-c',
      f'import logging; logging.basicConfig(level=20)\n{code}',
    ],
    capture_output=True,
    text=True,
    env={**os.environ, **environment},
  )
  assert done.returncode == 0, done.stderr
  return done.stdout.split(), done.stderr


CONFIGURE = """
import jax
from bigru_jax.runtime import host
host.configure_cpu(devices=3)
print(jax.device_count())
"""


def test_configuring_divides_the_cpu_and_logs_one_line():
  out, log = _run(CONFIGURE, JAX_PLATFORMS='cpu')
  assert out == ['3']
  (line,) = [line for line in log.splitlines() if 'bigru_jax' in line]
  assert 'host: 3 CPU devices' in line


def test_configuring_is_skipped_after_jax_has_started():
  out, log = _run('import jax; jax.devices()\n' + CONFIGURE)
  assert out == ['1']
  assert log.count('JAX has already started') == 1


def test_configuring_is_skipped_on_macos():
  hide = 'import os, sys; sys.platform = "darwin"; del os.sched_getaffinity\n'
  out, log = _run(CONFIGURE.replace('host.conf', hide + 'host.conf'))
  assert out == ['1']
  assert 'it is for Linux' in log


def test_configuring_is_skipped_with_an_accelerator():
  code = CONFIGURE.replace(
    'host.configure',
    'jax.config.update("jax_platforms", "cuda,cpu")\nhost.configure',
  ).replace('print(jax.device_count())', '')
  _, log = _run(code)
  assert 'has an accelerator plugin' in log


def test_importing_the_library_changes_nothing_and_does_not_import_jax():
  code = """
import os, signal, sys
before = dict(os.environ), [signal.getsignal(n) for n in (2, 10, 15)]
import bigru_jax
print('jax' in sys.modules)
for name in bigru_jax.__all__:
  getattr(bigru_jax, name)
after = dict(os.environ), [signal.getsignal(n) for n in (2, 10, 15)]
print('jax' in sys.modules, before[1] == after[1])
print(before[0] == after[0])
"""
  out, _ = _run(code)
  assert out == ['False', 'True', 'True', 'True']
