"""The web service of docs/serving, as its container starts it."""

import concurrent.futures
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from scripts import ROOT

import bigru_jax

SERVING = ROOT / 'docs' / 'serving'
IMAGE = (SERVING / 'Dockerfile').read_text()
TEXTS = [' '.join(['a good film'] * n) for n in (1, 2, 11, 30, 100, 400)]


def _ask(address, body=None):
  """The status and the answer of the service."""
  try:
    with urllib.request.urlopen(address, body, timeout=60) as response:
      return response.status, json.load(response)
  except urllib.error.HTTPError as error:
    return error.code, json.load(error)


@contextlib.contextmanager
def _service(run_directory, programs):
  """Starts the service on a free port, and yields its address once it is ready.

  Its variables are those of the image.
  """
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  variables = dict(re.findall(r'(JAX_\w+)=(\S+)', IMAGE))
  assert len(variables) == 3
  path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
  environment = os.environ | variables | {
    'PYTHONPATH': path, 'MODEL': str(run_directory),
    'JAX_COMPILATION_CACHE_DIR': str(programs),
  }  # fmt: skip
  with subprocess.Popen(
    [
      sys.executable,
      '-m',
      'uvicorn',
      'service:app',
      f'--port={port}',
      '--log-level=warning',
    ],
    cwd=SERVING,
    env=environment,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    try:
      address = f'http://127.0.0.1:{port}'
      while True:
        assert process.poll() is None, process.stderr.read()
        with contextlib.suppress(urllib.error.URLError):
          _ask(f'{address}/health')
          break
        time.sleep(0.1)
      yield address
    finally:
      process.terminate()


@pytest.mark.slow
@pytest.mark.dev('starlette', 'uvicorn')
def test_the_service_predicts_as_the_run_does(run_directory, tmp_path):
  run = bigru_jax.load(run_directory)
  expected = run.predict(TEXTS, fields=['label', 'probabilities'])
  with _service(run_directory, tmp_path) as address:
    compiled = {path.name for path in tmp_path.glob('*-cache')}

    def predict(text):
      return _ask(f'{address}/predict', json.dumps({'texts': [text]}).encode())

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
      answers = list(pool.map(predict, TEXTS * 5))
    for (status, answer), one in zip(answers, expected * 5, strict=True):
      (prediction,) = answer['predictions']
      assert status == 200 and prediction['label'] == one['label']
      assert prediction['probabilities'] == pytest.approx(
        one['probabilities'], abs=1e-5
      )
    for body in (
      b'',
      b'[]',
      b'{"text": []}',
      b'{"texts": "a"}',
      b'{"texts": [1]}',
    ):
      status, answer = _ask(f'{address}/predict', body)
      assert status == 400 and answer['error'].startswith('send {"texts": [')
    assert _ask(f'{address}/health') == (200, {'labels': run.labels})
  assert sum('jit_predict' in name for name in compiled) == 5
  # No text needed a program of its own, and the next process finds all.
  with _service(run_directory, tmp_path) as address:
    assert predict(TEXTS[0])[0] == 200
  assert {path.name for path in tmp_path.glob('*-cache')} == compiled


def test_the_page_shows_the_files_of_the_service():
  page = (ROOT / 'docs' / 'serving.md').read_text()
  assert f'```py\n{(SERVING / "service.py").read_text()}```' in page
  assert f'```dockerfile\n{IMAGE}```' in page
