"""The name that a run directory has by default."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from typing import Any

from bigru_jax.config import Config
from bigru_jax.data.glove import names_of
from bigru_jax.rundir import files
from bigru_jax.runtime.fields import former_names

_EXTENSIONS = ('.gz', '.zip', '.xz', '.bz2', '.txt', '.vec', '.bin', '.csv',
               '.tsv', '.jsonl', '.parquet', '.json')  # fmt: skip


def default_workdir(config: Config) -> pathlib.Path:
  """Returns `runs/<dataset>` with the fields that are not the defaults.

  Example:
    >>> str(default_workdir(Config(embeddings='glove.6B.100d.txt.gz', seed=1)))
    'runs/rotten_tomatoes,embeddings=glove.6B.100d,seed=1'

  A path is shortened to the file's name without its extensions. If another run
  has the same name, for example because its file is in another folder, a digest
  of the configuration is appended, so that two runs never collide.
  """
  differing = {
    name: getattr(config, name)
    for name in config.differing_fields()
    if name not in ('dataset', 'train')
  }
  parts = [config.train or config.dataset]
  if len(names := names_of(config.embeddings)) > 1:
    differing['embeddings'] = '+'.join(map(_stem, names))
  parts += [f'{name}={_stem(value)}' for name, value in differing.items()]
  name = ','.join([_stem(parts[0]), *parts[1:]])
  name = re.sub(r'[:*?\[\]]', '_', name)
  digest = hashlib.sha256(repr(config).encode()).hexdigest()[:8]
  if len(name.encode()) > 200:  # File systems allow 255 bytes.
    name = f'{name.encode()[:180].decode("utf-8", "ignore")},{digest}'
  former_name = name
  for former, current in former_names(Config).items():
    former_name = former_name.replace(f',{current}=', f',{former}=')
  if files.exists(pathlib.Path('runs', former_name, 'config.json')):
    name = former_name  # An older version has started the run.
  workdir = pathlib.Path('runs', name)
  if (
    files.exists(workdir / 'config.json')
    and files.read_config(workdir) != config
  ):
    workdir = workdir.with_name(f'{name},{digest}')
  return workdir


def _stem(value: Any) -> str:
  """Returns a value as part of a directory's name."""
  if not isinstance(value, str):
    return str(value)
  value = os.path.splitdrive(value)[1]  # Windows' C: and the like.
  if ':' in value:  # tfds:glue/sst2.
    return value.replace('/', '_')
  name = os.path.basename(value.rstrip('/')) or 'root'
  while name.endswith(_EXTENSIONS):
    name = os.path.splitext(name)[0]
  return name
