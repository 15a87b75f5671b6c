"""run.py, with its flags, up to the end of its first training step."""

import os

from absl import app
import jax
import run

from bigru_jax import training


def first_step(trainer, saved, log_factory, stop):
  """Stands in for `training.fit`."""

  def end(batches_done):
    jax.block_until_ready(trainer.state)
    os._exit(0)

  trainer.train_epoch(1, after_step=end)


if __name__ == '__main__':
  training.fit = first_step
  app.run(run.main)
