"""What the scripts share: parsing flags, help, logging, errors as one line."""

from collections.abc import Callable, Iterator
import contextlib
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
      absl_logging.set_verbosity(absl_logging.WARNING)  # For JAX and Orbax.
    if not quiet:
      logging.getLogger('bigru_jax').setLevel(logging.INFO)
    # Orbax's tasks that fail on a corrupt checkpoint are reported by ours.
    logging.getLogger('asyncio').setLevel(logging.CRITICAL)
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
      fail(error)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
      if isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error):
        fail(
          'out of memory: try a lower batch_size, hidden_size, '
          'max_length or max_sentences'
        )
      raise

  app.run(guarded, flags_parser=parse)


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
  """Raises ValueError where a script would write over what it reads."""
  both = os.path.isfile(source) and os.path.isfile(output)
  if both and os.path.samefile(source, output):
    raise ValueError(f'output={output} is the input')


@contextlib.contextmanager
def opened(output: str, source: str = '') -> Iterator[TextIO]:
  """Opens an output, which is written completely or not at all.

  Args:
    output: a path; a ~ is expanded.
    source: the file that the script reads.

  Raises:
    ValueError: they are the same file.
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
