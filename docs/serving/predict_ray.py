"""Predicts the texts of Parquet files with Ray Data."""

import os
import sys

import ray


class Predictor:
  """A worker: it opens the run once, and predicts many tables."""

  def __init__(self, run):
    os.environ['PJRT_NPROC'] = '1'  # The threads of JAX, before it starts.
    import bigru_jax

    self.run = bigru_jax.load(run)

  def __call__(self, table):
    return self.run.predict_table(table)


run, source, target, workers = sys.argv[1:]
ray.data.read_parquet(source).map_batches(
  Predictor,
  fn_constructor_args=[run],
  batch_format='pyarrow',
  batch_size=4096,
  num_cpus=1,
  compute=ray.data.ActorPoolStrategy(size=int(workers)),
).write_parquet(target, mode='error')
