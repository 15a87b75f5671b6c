"""Commands that are called one after another in one process."""

import logging
import types

from absl import flags, logging as absl_logging
import pytest

from bigru_jax import cli
from bigru_jax.cli import command
from bigru_jax.runtime import preemption


@pytest.fixture
def module():
  """A command that records the values of its flags in `calls`."""
  values = flags.FlagValues()
  name = flags.DEFINE_string('name', 'nobody', 'A name.', flag_values=values)
  words = flags.DEFINE_multi_string('word', [], 'A word.', flag_values=values)
  flags.DEFINE_alias('nom', 'name', flag_values=values)
  made = types.ModuleType('made', 'Makes something.')
  made.FLAGS, made.calls = values, []
  made.main = lambda: made.calls.append((name.value, words.value))
  return made


def test_a_call_does_not_see_the_flags_of_the_call_before(module):
  calls = ['--name=a', '--word=x', '--word=y'], [], ['--word=z'], ['--nom=b']
  for arguments in calls:
    assert command.run(module, ['made.py', *arguments]) == 0
  assert module.calls == [
    ('a', ['x', 'y']), ('nobody', []), ('nobody', ['z']), ('b', []),
  ]  # fmt: skip


def test_flags_are_read_from_a_flagfile(module, tmp_path):
  inner, outer = tmp_path / 'inner.flags', tmp_path / 'outer.flags'
  inner.write_text('--name=inner\n')
  outer.write_text(f'# A comment.\n--flagfile={inner}\n--word=x\n')
  assert command.run(module, ['made.py', f'--flagfile={outer}']) == 0
  assert module.calls == [('inner', ['x'])]


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['--nam=a'], "Unknown command line flag 'nam'. Did you mean: name ?"),
    (['--name=a', '--name=b'], 'name is given twice'),
    (['--name=a', '--nom=b'], 'name is given twice'),
    (['a'], "'a' is not a flag"),
    (['--flagfile=no.flags'], 'no.flags'),
    (['--verbosity=loud'], 'verbosity'),
  ],
)
def test_a_wrong_flag_gives_one_line(module, capsys, arguments, message):
  assert command.run(module, ['folder/made.py', *arguments]) == 2
  captured = capsys.readouterr()
  (line,) = captured.err.splitlines()
  assert line.startswith('made.py: ') and message in line
  assert not captured.out and not module.calls


@pytest.mark.parametrize(
  'error, status, message',
  [
    (ValueError('name=x: no'), 2, 'made.py: name=x: no\n'),
    (FileNotFoundError('name=x: none'), 2, 'made.py: name=x: none\n'),
    (
      preemption.Preempted('stopped'),
      preemption.EXIT_STATUS,
      'made.py: stopped; the same command resumes\n',
    ),
    (
      RuntimeError('RESOURCE_EXHAUSTED: Out of memory'),
      2,
      'made.py: out of memory: try a lower batch_size, hidden_size, max_length '
      'or max_sentences\n',
    ),
  ],
)
def test_an_error_gives_one_line_and_a_status(
  module, capsys, error, status, message
):
  def fail():
    raise error

  module.main = fail
  assert command.run(module, ['made.py']) == status
  assert capsys.readouterr().err == message


@pytest.mark.parametrize('error', [KeyError('x'), BrokenPipeError()])
def test_an_error_that_is_not_about_input_is_raised(module, error):
  def fail():
    raise error

  module.main = fail
  with pytest.raises(type(error)):
    command.run(module, ['made.py'])


def test_the_status_is_that_of_main(module):
  module.main = lambda: 1
  assert command.run(module, ['made.py']) == 1


def test_the_flags_after_two_dashes_are_those_of_run_py(module):
  taken = []
  module.main = taken.append
  module.TAKES_RUN_FLAGS = True
  assert command.run(module, ['made.py', '--', '--seed=1']) == 0
  assert command.run(module, ['made.py', '--name=--']) == 0
  assert taken == [['--seed=1'], []]


def test_help_shows_the_docstring_and_the_flags(module, capsys):
  assert command.run(module, ['made.py', '--help']) == 0
  text = capsys.readouterr().out
  assert text.startswith('Makes something.\n\nFlags:\n')
  assert '  --name=nobody\n      A name.\n' in text
  assert '--word=\n      A word.\n' in text
  assert 'nom' not in text and 'verbosity' not in text
  assert command.run(module, ['made.py', '--helpfull']) == 0
  text = capsys.readouterr().out
  assert '--name=nobody' in text and '--verbosity=' in text
  assert not module.calls


def test_a_calls_verbosity_holds_for_that_call_alone(module):
  loggers = [logging.getLogger(name) for name in ('absl', 'bigru_jax')]
  before = [logger.level for logger in loggers]
  levels = []
  module.main = lambda: levels.append(
    (absl_logging.get_verbosity(), *(logger.level for logger in loggers))
  )
  command.run(module, ['made.py'])
  module.VERBOSE = True
  command.run(module, ['made.py', '--verbosity=1'])
  assert levels[0] == (absl_logging.WARNING, logging.CRITICAL, before[1])
  assert levels[1] == (absl_logging.DEBUG, logging.DEBUG, logging.INFO)
  assert [logger.level for logger in loggers] == before


def test_the_commands_are_listed_with_what_they_do(capsys):
  for arguments in ([], ['--help']):
    with pytest.raises(SystemExit) as end:
      cli.main(['bigru', *arguments])
    assert not end.value.code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(cli.COMMANDS)
    assert max(map(len, lines)) <= 80
    assert lines[2].endswith('tests a BiGRU with attention.')


def test_an_unknown_command_gives_one_line_and_status_2(capsys):
  with pytest.raises(SystemExit) as end:
    cli.main(['bigru', 'trian'])
  assert end.value.code == 2
  assert capsys.readouterr().err == (
    f"bigru: 'trian' is not a command: choose {', '.join(cli.COMMANDS)}\n"
  )
