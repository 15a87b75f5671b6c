"""A run up to its first training step: `first_step.py WORKDIR DATASET DIR`."""

import os
import sys

import bigru_jax
from bigru_jax.runtime import host

if __name__ == '__main__':
  workdir, dataset, data_dir = sys.argv[1:]
  config = bigru_jax.Config(dataset=dataset, data_dir=data_dir)
  host.configure_cpu(config.cpu_devices)
  host.cache_compilations()
  asked = iter([False])  # Before the first epoch; then after its first step.
  bigru_jax.train(
    config, workdir, stop=lambda: next(asked, None) is None and os._exit(0)
  )
