"""What the scripts share: parsing flags, help, logging, errors as one line."""

from collections.abc import Callable, Iterator
import contextlib
import errno
import gc
import logging
import os
import signal
import sys
from typing import TextIO

# Importing JAX makes so many objects that collecting garbage at Python's usual
# pace takes 0.1 to 0.4 s of a script's start.
gc.set_threshold(50_000)

from absl import app, flags, logging as absl_logging  # noqa: E402
import jax  # noqa: E402

from bigru_jax.data import tabular_files  # noqa: E402
from bigru_jax.runtime import distributed, preemption  # noqa: E402


def run(
  main: Callable[[], None],
  help_text: Callable[[], str] = flags.FLAGS.main_module_help,
  quiet: bool = True,
) -> None:
  """Parses the flags and calls `main`.

  Bad flags and input end in one line and status 2, a preempted run in status
  75, and one of whose processes another was lost in status 1.

  Args:
    main: the script.
    help_text: what `--help` prints below the script's docstring; the script's
      own flags by default.
    quiet: whether only warnings of `bigru_jax` are logged.
  """
  script = os.path.basename(sys.argv[0])

  def fail(error):
    print(f'{script}: {error}', file=sys.stderr)
    sys.exit(2)

  def parse(argv):
    if {'--help', '-help', '-h', '--helpshort'} & set(argv[1:]):
      print(f'{sys.modules["__main__"].__doc__}\n{help_text()}')
      sys.exit(0)
    own = flags.FLAGS.get_key_flags_for_module(argv[0])
    before = {flag.name: flag.present for flag in own}
    try:
      positional = flags.FLAGS(argv)[1:]
    except flags.Error as error:
      fail(error)
    for flag in own:  # Those of run.py's configuration may be overridden.
      twice = flag.present > before[flag.name] + 1
      if twice and not isinstance(flag, flags.MultiFlag):
        fail(f'{flag.name} is given twice')
    if positional:
      fail(f'{positional[0]!r} is not a flag')
    return argv[:1]

  def guarded(argv):
    del argv
    # Ctrl-C ends a script without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not flags.FLAGS['verbosity'].present:
      absl_logging.set_verbosity(absl_logging.WARNING)  # For JAX.
      # Orbax logs a traceback for each of its threads that a full disk stops;
      # `Checkpoints` says in one line what the matter is.
      logging.getLogger('absl').setLevel(logging.CRITICAL)
    if not quiet:
      logging.getLogger('bigru_jax').setLevel(logging.INFO)
    # Orbax's tasks that fail on a corrupt checkpoint are reported by ours.
    logging.getLogger('asyncio').setLevel(logging.CRITICAL)
    sys.unraisablehook = _leave_out_closed_loops
    try:
      main()
      # The garbage collector would walk through all of JAX at exit, for 0.4 s.
      gc.freeze()
    except preemption.Preempted as reason:
      print(f'{script}: {reason}; the same command resumes', file=sys.stderr)
      sys.exit(preemption.EXIT_STATUS)
    except distributed.ProcessLost as error:
      print(f'{script}: {error}; the same command resumes', file=sys.stderr)
      sys.stderr.flush()
      os._exit(1)  # JAX would wait for the lost process.
    except BrokenPipeError:  # As `| head` leaves it.
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
      sys.exit(128 + signal.SIGPIPE)
    except (ValueError, OSError) as error:
      fail(_full_disk(error) or error)
    except (MemoryError, RuntimeError, AssertionError) as error:
      if isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error):
        fail(
          'out of memory: try a lower batch_size, hidden_size, '
          'max_length or max_sentences'
        )
      if problem := missing_backend(error):
        fail(problem)
      raise

  app.run(guarded, flags_parser=parse)


def _full_disk(error: Exception) -> str:
  """Which output a full disk did not take; '' where an error is another one.

  The system's own error names no file.
  """
  if not isinstance(error, OSError) or error.filename is not None:
    return ''
  if error.errno not in (errno.ENOSPC, errno.EDQUOT):
    return ''
  values = flags.FLAGS.flag_values_dict()
  names = [name for name in ('output', 'workdir') if values.get(name)]
  field = f'{names[0]}={values[names[0]]}: ' if names else ''
  return f'{field}the disk is full ({error.strerror})'


def _leave_out_closed_loops(unraisable: 'sys.UnraisableHookArgs') -> None:
  """Says nothing of tasks of Orbax that outlive the save that failed."""
  if str(unraisable.exc_value) != 'Event loop is closed':
    sys.__unraisablehook__(unraisable)


def missing_backend(error: Exception) -> str:
  """Why JAX cannot start on this machine; '' where an error is another one."""
  reason = str(error).partition('. (set ')[0].partition(' (set ')[0]
  if not reason.startswith('Unable to initialize backend'):
    try:
      jax.local_devices()
      return ''
    except (RuntimeError, AssertionError):  # JAX asserts that there is one.
      reason = reason or 'there is no such device, or no plugin of JAX for it'
  platforms = jax.config.jax_platforms or ''  # type: ignore[attr-defined]
  if platforms != platforms.lower():
    reason = f'JAX takes lower case: {platforms.lower()}'
  return f'JAX_PLATFORMS={platforms}: {reason.splitlines()[0]}'


def refuse_flags(needs: str, *names: str) -> None:
  """Refuses flags that would be ignored.

  Args:
    needs: what they need to have an effect.
    names: of flags whose values must be the defaults.

  Raises:
    ValueError: another value is given.
  """
  for name in names:
    flag = flags.FLAGS[name]
    if flag.value != flag.default:
      raise ValueError(f'{name} needs {needs}')


def check_output(output: str, source: str = '') -> None:
  """Refuses an output that cannot be written, or is what the script reads.

  Args:
    output: a path, or - for standard output.
    source: the files that the script reads, see `files.find`; - for none.

  Raises:
    FileNotFoundError: a source is missing.
    ValueError: the output is a folder or in no folder, or one of the sources.
  """
  folder = os.path.dirname(output) or '.'
  if os.path.isdir(output):
    raise ValueError(f'output={output} is a folder')
  if not os.path.isdir(folder):
    raise ValueError(f'output={output}: there is no folder {folder}')
  paths = tabular_files.find(source, 'input') if source not in ('', '-') else []
  if os.path.isfile(output) and any(
    os.path.samefile(path, output) for path in paths
  ):
    raise ValueError(f'output={output} is the input')


def is_csv(output: str) -> bool:
  """Whether an output is a CSV file; else it is one of JSON lines.

  Raises:
    ValueError: its extension is neither .csv nor .jsonl.
  """
  is_device = os.path.exists(output) and not os.path.isfile(output)
  if output == '-' or is_device or output.lower().endswith('.jsonl'):
    return False
  if not output.lower().endswith('.csv'):
    raise ValueError(f'output={output}: a file must end in .jsonl or .csv')
  return True


@contextlib.contextmanager
def opened(output: str, source: str = '') -> Iterator[TextIO]:
  """Opens an output, which is written completely or not at all.

  Args:
    output: a path; a ~ is expanded.
    source: the files that the script reads.

  Raises:
    FileNotFoundError, ValueError: see `check_output`.
  """
  output = os.path.expanduser(output)
  check_output(output, source)
  if os.path.exists(output) and not os.path.isfile(output):  # /dev/null, say.
    with open(output, 'w', encoding='utf-8', newline='') as file:
      yield file
    return
  partial = f'{output}.partial'
  try:
    with open(partial, 'w', encoding='utf-8', newline='') as file:
      yield file
    os.replace(partial, output)
  finally:
    with contextlib.suppress(FileNotFoundError):
      os.remove(partial)
