"""The flags of a command: their values, their checks and their help."""

import pathlib

import pytest

from bigru_jax.cli import command_flags, config_flags


@pytest.fixture
def values():
  values = command_flags.Flags()
  values.path('input', 'A file, or files with commas between.')
  values.list('parts', 'What is drawn.', ['loss'])
  values.integer('limit', 'The largest number.', 9, lower=1)
  return values


def test_a_tilde_is_expanded_in_each_path(values):
  command_flags.parse(values, ['made.py', '--input=~/a.csv, ~/b.csv'])
  home = pathlib.Path.home()
  assert values['input'].value == f'{home}/a.csv, {home}/b.csv'


@pytest.mark.parametrize(
  'arguments, check, message',
  [
    ([], lambda x: x.require('limit', 'input'), 'input is not given'),
    (['--limit=3'], lambda x: x.refuse('a text', 'limit'), 'limit needs a tex'),
    (
      ['--parts=loss,los'],
      lambda x: x.check_choices('parts', ['loss', 'f1']),
      'parts=los: choose loss, f1',
    ),
  ],
)
def test_a_check_names_the_flag(values, arguments, check, message):
  command_flags.parse(values, ['made.py', *arguments])
  with pytest.raises(ValueError, match=message):
    check(values)


def test_a_flag_with_its_default_is_not_refused(values):
  command_flags.parse(values, ['made.py', '--input=', '--limit=9'])
  values.refuse('a text', 'input', 'limit', 'parts')


def test_a_bound_is_checked(values):
  with pytest.raises(ValueError, match='limit'):
    command_flags.parse(values, ['made.py', '--limit=0'])


def test_help_has_the_flags_of_a_run_in_its_groups(values):
  config_flags.define_flags(values)
  lines = command_flags.help_text(values).splitlines()
  assert lines[:2] == [
    '  --input=',
    '      A file, or files with commas between.',
  ]
  assert '  --parts=loss' in lines and '  --limit=9' in lines
  assert lines.index('Data:') < lines.index('  --dataset=rotten_tomatoes')
  assert not any(line.startswith('  --truncate') for line in lines)
  assert max(map(len, lines)) <= 80


def test_a_flag_of_a_run_may_be_overridden(values):
  config_flags.define_flags(values)
  command_flags.parse(values, ['run.py', '--epochs=1', '--epochs=2'])
  assert values['epochs'].value == 2
  with pytest.raises(ValueError, match='limit is given twice'):
    command_flags.parse(values, ['run.py', '--limit=1', '--limit=2'])
