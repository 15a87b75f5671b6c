"""A run directory as training uses it.

Every process calls the same functions, but only process 0 writes. If one
process fails, all of them fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import errno
import json
import math
import os
import pathlib
from typing import Any

from bigru_jax.buckets.bucket import is_bucket
from bigru_jax.config import Config
from bigru_jax.data.tokenizer import Tokenizer
from bigru_jax.metrics import each_epoch
from bigru_jax.rundir import files, lock, missing, same_run
from bigru_jax.rundir.checkpoints import Checkpoints
from bigru_jax.rundir.mirror import LOCK_TIMEOUT, Mirror, mirrored
from bigru_jax.runtime import distributed


@contextlib.contextmanager
def open_run(
  name: str | os.PathLike, config: Config, lock_timeout: float = LOCK_TIMEOUT
) -> Iterator[RunDirectory]:
  """Creates and locks a run directory, which is complete at the end.

  Args:
    name: its path, or its name in a bucket; see `mirrored`.
    config: the run's configuration.
    lock_timeout: see `buckets.lock.locked`.

  Raises:
    ValueError: another process has locked it, it contains another run, or the
      processes do not share it.
    OSError: it cannot be written, or a part of it was removed.
  """
  with contextlib.ExitStack() as stack:
    workdir, mirror = pathlib.Path(name).expanduser(), None
    if is_bucket(name):
      workdir, mirror = stack.enter_context(mirrored(str(name), lock_timeout))
    stack.enter_context(_named_full_disk(workdir))
    with distributed.agreed():
      if distributed.is_main():
        is_new = not workdir.exists()
        stack.enter_context(lock.locked(workdir))
        if is_new:
          stack.callback(_remove_if_empty, workdir)
      same_run.check_config(workdir, config)
      if not files.exists(workdir / 'config.json'):
        missing.check_config(workdir)
      missing.check_checkpoints(workdir)
    with distributed.agreed():
      if not workdir.is_dir():
        raise ValueError(
          f'workdir={workdir} does not exist on this process: all processes '
          'need a shared file system or a bucket'
        )
    directory = RunDirectory(workdir, config, mirror)
    stack.callback(directory.close)
    yield directory
    distributed.wait()


def _remove_if_empty(workdir: pathlib.Path) -> None:
  """Removes a directory that has only its lock, since the run never began."""
  with contextlib.suppress(OSError):
    if os.listdir(workdir) == ['lock']:
      (workdir / 'lock').unlink()
      workdir.rmdir()


@contextlib.contextmanager
def _named_full_disk(workdir: pathlib.Path) -> Iterator[None]:
  """Names the run directory if its disk or the user's quota is full.

  Raises:
    OSError: the disk is full.
  """
  try:
    yield
  except OSError as error:
    path = str(error.filename or workdir)
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not is_full or not path.startswith(str(workdir)):
      raise
    raise OSError(
      f'workdir={workdir}: the disk is full ({error.strerror}); the last good '
      'checkpoint stays'
    ) from error


class RunDirectory:
  """Writes the files of a run during training.

  Attributes:
    path: the directory.
    is_new: whether the directory has no run yet.
  """

  def __init__(
    self, path: pathlib.Path, config: Config, mirror: Mirror | None = None
  ) -> None:
    self.path, self._config, self._mirror = path, config, mirror
    self.is_new = not files.exists(path / 'config.json')
    self._metrics = path / 'metrics.jsonl'
    self._tensorboard: Any = None
    self._purge_step = 0
    self._data_name = ''

  def start(
    self,
    name: str,
    labels: list[str],
    tokenizer: Tokenizer,
    identity: dict[str, str],
  ) -> None:
    """Writes the files that describe the run, or compares those that exist.

    Args:
      name: the name of its data, for TensorBoard.
      labels: the names of the classes.
      tokenizer: the run's tokenizer.
      identity: the digests of its data.

    Raises:
      ValueError: the run was started on other data.
    """
    self._data_name = name
    distributed.on_main(
      lambda: same_run.create_or_check(
        self.path, self._config, labels, tokenizer, identity
      )
    )

  def has_failed(self) -> bool:
    """Returns whether the next checkpoint cannot be saved, in a bucket."""
    return self._mirror is not None and self._mirror.has_failed()

  def open_checkpoints(self) -> Checkpoints:
    """Opens the checkpoints of the run."""
    return Checkpoints(self.path, self._mirror)

  def restart_log(self, lines: Sequence[dict[str, Any]]) -> None:
    """Replaces the content of metrics.jsonl with these lines.

    It also records new values of mutable fields and removes the results that
    they outdate, since the run is now certain to continue.

    Args:
      lines: the lines of a checkpoint. Lines that were written after it are
        dropped; they will be written again.
    """

    def restart():
      same_run.record_changes(self.path, self._config)
      files.write_lines(self._metrics, lines)

    distributed.on_main(restart)
    self._purge_step = lines[-1]['step'] + 1 if lines else 0

  def log(self, line: dict[str, Any]) -> None:
    """Appends an evaluation to metrics.jsonl and TensorBoard."""
    if not distributed.is_main():
      return
    with self._metrics.open('a', encoding='utf-8') as file:
      file.write(json.dumps(files.finite(line)) + '\n')
    if self._tensorboard is None:
      # Imported after the first epoch, since it imports PyTorch if it can.
      from tensorboardX import SummaryWriter

      self._tensorboard = SummaryWriter(
        str(self.path), purge_step=self._purge_step
      )
      self._tensorboard.add_text('data', self._data_name)
    for name in each_epoch():
      # A loss that is not finite is shown, and a metric that is undefined not.
      if name in line and (name == 'loss' or math.isfinite(line[name])):
        tag = f'{line["split"]}/{name}'
        self._tensorboard.add_scalar(tag, line[name], line['step'])
    self._tensorboard.flush()

  def write(self, contents: Mapping[str, Any]) -> None:
    """Writes files, each completely or not at all.

    Args:
      contents: JSON values by file name; for `.jsonl`, a list of lines.
    """
    for name, value in contents.items() if distributed.is_main() else ():
      write = files.write_lines if name.endswith('l') else files.write_json
      write(self.path / name, value)

  def close(self) -> None:
    """Closes TensorBoard's file."""
    if self._tensorboard:
      self._tensorboard.close()
