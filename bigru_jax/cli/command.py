"""Runs a command: parses its flags, sets up its log, reports its errors."""

from collections.abc import Iterator, Sequence
import contextlib
import errno
import faulthandler
import gc
import logging
import os
import signal
import sys
from types import ModuleType
from typing import NoReturn

from absl import flags, logging as absl_logging
import jax

from bigru_jax.buckets.bucket import anonymous_access
from bigru_jax.cli import command_flags
from bigru_jax.runtime import distributed, preemption

# The options that ask for help, and whether it includes the flags of the log.
_HELP = {
  '--help': False, '-help': False, '-h': False, '--helpshort': False,
  '--helpfull': True, '-helpfull': True,
}  # fmt: skip


def start(module: ModuleType, argv: Sequence[str]) -> NoReturn:
  """Runs a command as this process, and ends the process.

  It installs handlers for signals and for the log.

  Args:
    module, argv: see `run`.
  """
  with contextlib.suppress(OSError, RuntimeError, ValueError):  # No stderr.
    faulthandler.enable()
  absl_logging.use_absl_handler()
  # Ctrl-C ends a command without a traceback.
  signal.signal(signal.SIGINT, signal.SIG_DFL)
  sys.unraisablehook = _leave_out_closed_loops
  try:
    status = run(module, argv)
  except BrokenPipeError:  # The reader left, as `| head` does.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    status = 128 + getattr(signal, 'SIGPIPE', 13)  # Windows has none.
  except distributed.ProcessLost as error:
    _say(argv, f'{error}; the same command resumes')
    sys.stderr.flush()
    os._exit(1)  # JAX would wait for the lost process.
  # The garbage collector would walk through all of JAX at exit, for 0.4 s.
  gc.freeze()
  sys.exit(status)


def run(module: ModuleType, argv: Sequence[str]) -> int:
  """Runs a command in a process that may run others before and after it.

  Args:
    module: the command's module; see `bigru_jax.cli`. With `VERBOSE = True` the
      log shows more than the library's warnings. With `TAKES_RUN_FLAGS = True`
      `main` takes the flags of `bigru run` that follow `--`; with
      `TAKES_ARGUMENTS = True`, the arguments that are not flags.
    argv: the program's name, with which messages begin, and the flags.

  Returns:
    The exit status: 2 after bad flags or input, which one line reports;
    `preemption.EXIT_STATUS` if the run was stopped, or if a bucket does not
    answer; or the status of `main`.

  Raises:
    BrokenPipeError: the output is no longer read.
    ProcessLost: another process of a distributed run has ended.
  """
  argv = list(argv)
  run_flags: list[list[str]] = []
  if getattr(module, 'TAKES_RUN_FLAGS', False):
    end = argv.index('--') if '--' in argv else len(argv)
    run_flags = [argv[end + 1 :]]
    argv = argv[:end]
  try:
    for option, with_log in _HELP.items():
      if option in argv[1:]:
        text = command_flags.help_text(module.FLAGS, with_log)
        print(f'{(module.__doc__ or "").strip()}\n\nFlags:\n{text}')
        return 0
    with _parsed(module, argv) as arguments:
      if getattr(module, 'TAKES_ARGUMENTS', False):
        return module.main(arguments) or 0
      if arguments:
        raise ValueError(f'{arguments[0]!r} is not a flag')
      return module.main(*run_flags) or 0
  except preemption.Preempted as reason:
    _say(argv, f'{reason}; the same command resumes')
    return preemption.EXIT_STATUS
  except preemption.Unavailable as error:
    _say(argv, f'{error}; try the same command again')
    return preemption.EXIT_STATUS
  except (BrokenPipeError, distributed.ProcessLost):
    raise
  except (ValueError, OSError) as error:
    _say(argv, _full_disk(module, error) or error)
  except (MemoryError, RuntimeError, AssertionError) as error:
    if isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error):
      _say(
        argv,
        'out of memory: try a lower batch_size, hidden_size, max_length or '
        'max_sentences',
      )
    elif problem := missing_backend(error):
      _say(argv, problem)
    else:
      raise
  return 2


def _full_disk(module: ModuleType, error: Exception) -> str:
  """Returns a message on the output whose disk is full; '' for other errors.

  The system's own error names no file.
  """
  if not isinstance(error, OSError) or error.filename is not None:
    return ''
  if error.errno not in (errno.ENOSPC, errno.EDQUOT):
    return ''
  values = module.FLAGS.flag_values_dict()
  names = [name for name in ('output', 'workdir') if values.get(name)]
  field = f'{names[0]}={values[names[0]]}: ' if names else ''
  return f'{field}the disk is full ({error.strerror})'


def _say(argv: Sequence[str], message: object) -> None:
  print(f'{os.path.basename(argv[0])}: {message}', file=sys.stderr)


@contextlib.contextmanager
def _parsed(module: ModuleType, argv: Sequence[str]) -> Iterator[list[str]]:
  """Parses a command's flags, and sets the log's verbosity for the context.

  Yields:
    The arguments that are not flags.
  """
  verbosity = absl_logging.get_verbosity()
  absl, asyncio, gcsfs, ours = loggers = [
    logging.getLogger(name)
    for name in ('absl', 'asyncio', 'gcsfs', 'bigru_jax')
  ]
  levels = [logger.level for logger in loggers]
  try:
    arguments = command_flags.parse(module.FLAGS, argv)
    if not flags.FLAGS['verbosity'].present:
      absl_logging.set_verbosity(absl_logging.WARNING)  # For JAX.
      # Orbax logs a traceback for each of its threads that a full disk stops;
      # `Checkpoints` reports the error in one line.
      absl.setLevel(logging.CRITICAL)
    # `Checkpoints` reports the corrupt checkpoints on which Orbax's tasks fail;
    # `Bucket` reports the last failure of an operation.
    asyncio.setLevel(logging.CRITICAL)
    gcsfs.setLevel(logging.CRITICAL)
    if getattr(module, 'VERBOSE', False):
      ours.setLevel(logging.INFO)
    with anonymous_access(command_flags.ANONYMOUS.value):
      yield arguments
  finally:
    absl_logging.set_verbosity(verbosity)
    for logger, level in zip(loggers, levels):
      logger.setLevel(level)


def _leave_out_closed_loops(unraisable: 'sys.UnraisableHookArgs') -> None:
  """Ignores tasks of Orbax that outlive a failed save."""
  if str(unraisable.exc_value) != 'Event loop is closed':
    sys.__unraisablehook__(unraisable)


def missing_backend(error: Exception) -> str:
  """Returns why JAX cannot start on this machine; '' for any other error."""
  reason = str(error).partition('. (set ')[0].partition(' (set ')[0]
  if not reason.startswith('Unable to initialize backend'):
    try:
      jax.local_devices()
      return ''
    except (RuntimeError, AssertionError):  # JAX asserts that one exists.
      reason = reason or 'there is no such device, or no JAX plugin for it'
  platforms = jax.config.jax_platforms or ''  # type: ignore[attr-defined]
  if platforms != platforms.lower():
    reason = f'JAX expects lower case: {platforms.lower()}'
  return f'JAX_PLATFORMS={platforms}: {reason.splitlines()[0]}'
