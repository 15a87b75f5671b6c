"""Reads checkpoints, and tells corrupt bytes from errors of the system.

Errors of the system are `OSError`s; checkpoints.py defines what is corrupt.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from bigru_jax import parallel
from bigru_jax.rundir import files, missing, orbax_options, versions

# Wrong names or offsets in corrupt bytes can cause these errors as well.
_MAY_BE_CORRUPT = {
  errno.ENOENT,
  errno.ENOTDIR,
  errno.EISDIR,
  errno.ENAMETOOLONG,
  errno.EINVAL,
}


class CorruptError(ValueError):
  """The bytes of a checkpoint do not match their checksum or format."""


def shardings_of(tree: Any) -> Any:
  """Returns the sharding of each array."""
  return jax.tree.map(lambda x: x.sharding, tree)


def array_checksums(tree: Any) -> dict[str, str]:
  """Returns the SHA-256 of each array's bytes, by its path."""
  names, leaves = zip(*_named_leaves(tree))
  return {
    name: hashlib.sha256(
      np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    ).hexdigest()
    for name, array in zip(names, parallel.fetch(leaves))
  }


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
  leaves, _ = jax.tree.flatten_with_path(tree)
  return [
    (jax.tree_util.keystr(path, simple=True, separator='/'), leaf)
    for path, leaf in leaves
  ]


def sha256(value: Any) -> str:
  """Returns the digest of a JSON value."""
  return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _corrupt(folder: pathlib.Path, step: int, reason: str) -> CorruptError:
  return CorruptError(
    f'workdir={folder.parent}: checkpoint {step} cannot be read: {reason}'
  )


def read_metadata(folder: pathlib.Path, step: int) -> dict[str, Any]:
  """Reads the content of a checkpoint's metadata.

  Raises:
    CorruptError: they do not match their checksum.
    OSError: they are missing or cannot be read.
  """
  path = folder / str(step) / 'metadata' / 'metadata'
  with missing.system_errors(folder):
    try:
      data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
      data = None
  if data is None:
    raise missing.incomplete(folder, step, path)
  try:
    metadata = json.loads(data.decode('utf-8'))
    content = metadata['content']
    intact = sha256(content) == metadata['sha256'] and content['step'] == step
  except (ValueError, KeyError, TypeError, RecursionError):
    intact = False
  if not intact:
    raise _corrupt(folder, step, 'its metadata are corrupt')
  return content


def read_state(
  folder: pathlib.Path, step: int, like: Any
) -> tuple[Any, dict[str, Any]]:
  """Reads a state, or a part of one, and the progress.

  Args:
    folder: the folder of the checkpoints.
    step: the step of the checkpoint.
    like: a train state or a dict of some of its fields, with arrays or abstract
      arrays; the result has its structure.

  Returns:
    The state, see `read_arrays`, and the progress.

  Raises:
    CorruptError, OSError: see `read_arrays`.
    ValueError: its arrays differ from those of `like`.
  """
  state, content = read_arrays(folder, step, like)
  leaves = dict(_named_leaves(like))
  for name, array in _named_leaves(state):
    expected = leaves[name]
    if (array.shape, array.dtype) != (expected.shape, expected.dtype):
      raise _other_state(
        folder,
        step,
        f'{name}: {array.dtype}{list(array.shape)} there, '
        f'{expected.dtype}{list(expected.shape)} here',
      )
  return state, content['progress']


def read_arrays(
  folder: pathlib.Path, step: int, like: Any
) -> tuple[Any, dict[str, Any]]:
  """Reads the arrays of a state, of any shapes, and the metadata.

  Args:
    folder: the folder of the checkpoints.
    step: the step of the checkpoint.
    like: a tree as for `read_state`, whose shapes do not matter.

  Returns:
    The state as whole NumPy arrays, which the checksums need. No collective is
    used, because a corrupt part would leave the other processes waiting in it.

  Raises:
    CorruptError: the checkpoint does not match its checksums or its format.
    ValueError: it has other arrays than `like`.
    OSError: it cannot be read, or one of its files is missing.
  """
  content = read_metadata(folder, step)
  checksums = content['checksums']
  names = {name for name, _ in _named_leaves(like)}
  differing = names - checksums.keys()
  if not isinstance(like, dict):
    differing |= checksums.keys() - names
  if differing:
    raise _other_state(folder, step, min(differing))
  state, reason = None, ''
  for _ in range(2):  # An error of the system may be transient.
    try:
      state = _read_arrays(folder / str(step) / 'state', like)
    except Exception as error:  # Orbax and TensorStore raise many types.
      missing.check_state(folder, step, error)
      _read_all(folder, step)  # Raises if a file cannot be read.
      _raise_if_of_system(folder, error)
      reason = 'the bytes of its state are corrupt'
      continue
    read = array_checksums(state)
    wrong = [name for name in read if checksums[name] != read[name]]
    if not wrong:
      return state, content
    reason = f'its array {wrong[0]} is corrupt'
    _read_all(folder, step)
  raise _corrupt(folder, step, reason)


def _other_state(
  folder: pathlib.Path, step: int, difference: str
) -> ValueError:
  way_on = 'choose another workdir'
  if files.exists(folder.parent / 'config.json'):
    way_on = versions.way_on(files.read_version(folder.parent))
  return ValueError(
    f'workdir={folder.parent}: checkpoint {step} holds another train state, '
    f'which differs in {difference}; {way_on}'
  )


def _read_arrays(path: pathlib.Path, like: Any) -> Any:
  """Reads a checkpoint's arrays in the structure of `like`, as saved.

  No shapes and types are passed, because Orbax would convert the arrays.
  """
  args = ocp.args.PyTreeRestore(
    item=jax.tree.map(ocp.utils.to_shape_dtype_struct, like),
    restore_args=jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like
    ),
    partial_restore=isinstance(like, dict),
  )
  with ocp.Checkpointer(
    orbax_options.array_handler(),
    # By default it waits for the other processes, which may have failed.
    multiprocessing_options=orbax_options.processes([jax.process_index()]),
  ) as checkpointer:
    return checkpointer.restore(path, args=args)


def _read_all(folder: pathlib.Path, step: int) -> None:
  """Reads every byte of a checkpoint.

  Orbax and TensorStore turn an error of the system into one of their own, or
  into an array of zeros.

  Raises:
    OSError: a folder cannot be listed, or a file cannot be read.
  """

  def fail(error):
    raise error

  with missing.system_errors(folder):
    for parent, _, names in os.walk(folder / str(step), onerror=fail):
      for path in (os.path.join(parent, name) for name in names):
        try:
          with open(path, 'rb') as file:
            while file.read(2**20):
              pass
        except OSError as error:  # An error of `read` does not name the file.
          raise OSError(error.errno, error.strerror, path) from error


def _raise_if_of_system(folder: pathlib.Path, error: BaseException) -> None:
  """Raises OSError where the system, not a corrupt byte, caused an error.

  Raises:
    MemoryError: memory ran out, so the bytes may be intact.
  """
  pending, seen = [error], set[int]()
  while pending:
    reason = pending.pop()
    if id(reason) in seen:
      continue
    seen.add(id(reason))
    if isinstance(reason, (MemoryError, jax.errors.JaxRuntimeError)):
      raise reason
    number = reason.errno if isinstance(reason, OSError) else None
    if match := missing.OS_ERROR.search(str(reason)):
      number = int(match[1])
    if "can't start new thread" in str(reason):
      number = errno.EAGAIN
    if number is not None and number not in _MAY_BE_CORRUPT:
      path = missing.named_file(reason)
      with missing.system_errors(folder):
        raise OSError(number, os.strerror(number), path) from error
    pending += [
      x for x in (reason.__cause__, reason.__context__) if x is not None
    ]
    pending += getattr(reason, 'exceptions', ())
