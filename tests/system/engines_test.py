"""The programs of docs/serving for Ray Data and Spark, which lose a worker."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scripts import ROOT

import bigru_jax

SERVING = ROOT / 'docs' / 'serving'
FILES, ROWS = 12, 4096  # Ray reads batches of 4,096 rows.
TEXTS = [
  ' '.join(['a', 'good', 'dull', 'not', 'film', '.'][i % 4 :] * (i % 12))
  for i in range(100)
]
# Ray would make one task of all these texts, and Spark one for each core.
START_RAY = """
import runpy, sys, ray
ray.init(num_cpus=4, include_dashboard=False, _temp_dir=sys.argv[1])
ray.data.DataContext.get_current().target_max_block_size = 2**17
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""
START_SPARK = f"""
--master local[2,4] --conf spark.ui.enabled=false
--conf spark.sql.files.minPartitionNum={FILES}
--conf spark.sql.files.openCostInBytes=0 pyspark-shell
"""


def _descendants(pid, name):
  """The processes below one whose command line has a name, parents first."""
  parents = {}
  for path in pathlib.Path('/proc').glob('[0-9]*'):
    with contextlib.suppress(OSError):  # It has ended.
      parent = (path / 'stat').read_text().rpartition(')')[2].split()[1]
      parents.setdefault(int(parent), []).append(int(path.name))
  pids = [pid]
  for parent in pids:
    pids.extend(parents.get(parent, []))
  matches = []
  for process in pids[1:]:
    with contextlib.suppress(OSError):
      if name in pathlib.Path(f'/proc/{process}/cmdline').read_text():
        matches.append(process)
  return matches


def _predict(command, folder, variables, workers):
  """Runs a program, and kills a worker as soon as there is some output.

  Args:
    command: its command line.
    folder: where it writes Parquet files to.
    variables: of its environment.
    workers: the workers of a process id.

  Returns:
    Its log.
  """
  path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
  with (
    open(folder.with_suffix('.log'), 'w+') as log,
    subprocess.Popen(
      command,
      env=os.environ | variables | {'PYTHONPATH': path},
      stdout=log,
      stderr=subprocess.STDOUT,
    ) as process,
  ):
    while process.poll() is None and not list(folder.rglob('*.parquet')):
      time.sleep(0.02)
    pids = workers(process.pid)
    is_running = process.poll() is None
    if pids:
      os.kill(pids[-1], signal.SIGKILL)
    status = process.wait()
    log.seek(0)
    content = log.read()
  assert status == 0 and is_running and len(pids) == 2, content
  return content


@pytest.fixture
def source(tmp_path):
  """A folder of Parquet files with texts."""
  folder = tmp_path / 'texts'
  folder.mkdir()
  for i in range(FILES):
    ids = range(i * ROWS, (i + 1) * ROWS)
    texts = [TEXTS[x % len(TEXTS)] for x in ids]
    table = pa.table({'id': ids, 'text': texts})
    pq.write_table(table, folder / f'{i}.parquet')
  return folder


def _check(target, run_directory):
  """Checks that each text was predicted once, as by the run itself."""
  run = bigru_jax.load(run_directory)
  answers = run.predict(TEXTS, fields=['label', 'probabilities', 'empty'])
  assert {answer['label'] for answer in answers} == set(run.labels)
  rows = pq.read_table(target).sort_by('id').to_pydict()
  ids = list(range(FILES * ROWS))
  assert rows['id'] == ids
  assert rows['text'] == [TEXTS[x % len(TEXTS)] for x in ids]
  for name, field in (('prediction', 'label'), ('empty', 'empty')):
    assert rows[name] == [answers[x % len(TEXTS)][field] for x in ids]
  for label in run.labels:
    expected = [answers[x % len(TEXTS)]['probabilities'][label] for x in ids]
    np.testing.assert_allclose(
      rows[f'probability_{label}'], expected, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.engines('ray')
def test_ray_predicts_each_text_once_although_it_loses_a_worker(
  run_directory, source, tmp_path
):
  target = tmp_path / 'predicted'
  with tempfile.TemporaryDirectory() as sockets:  # Their paths must be short.
    _predict(
      [
        sys.executable, '-c', START_RAY, sockets, SERVING / 'predict_ray.py',
        run_directory, source, target, '2',
      ],
      target,
      {'RAY_USAGE_STATS_ENABLED': '0'},
      lambda pid: _descendants(pid, 'ray::MapWorker'),
    )  # fmt: skip
  _check(target, run_directory)


@pytest.mark.slow
@pytest.mark.engines('pyspark')
@pytest.mark.skipif(
  not shutil.which('java'),
  reason='Java is missing: apt-get install default-jre-headless',
)
def test_spark_predicts_each_text_once_although_it_loses_a_worker(
  run_directory, source, tmp_path
):
  target = tmp_path / 'predicted'
  variables = {
    'PYSPARK_PYTHON': sys.executable,
    'PYSPARK_SUBMIT_ARGS': ' '.join(START_SPARK.split()),
  }
  log = _predict(
    [
      sys.executable, SERVING / 'predict_spark.py',
      run_directory, source, target,
    ],
    target,
    variables,
    # The first one starts the workers.
    lambda pid: _descendants(pid, 'pyspark.daemon')[1:],
  )  # fmt: skip
  assert 'Python worker exited unexpectedly' in log
  _check(target, run_directory)


@pytest.mark.parametrize('name', ['predict_ray.py', 'predict_spark.py'])
def test_the_page_shows_the_programs(name):
  page = (ROOT / 'docs' / 'guide' / 'engines.md').read_text()
  assert f'```py\n{(SERVING / name).read_text()}```' in page
