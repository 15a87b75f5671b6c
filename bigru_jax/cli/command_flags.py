"""The flags of a command: their definition, their help, and their parsing."""

from collections.abc import Collection, Sequence
import textwrap
from typing import Any

from absl import flags

from bigru_jax.cli import config_flags
from bigru_jax.config import Config
from bigru_jax.runtime.fields import expand_users

Flag = flags.FlagHolder[Any]
# Of every command; --helpfull shows it with the flags of the log.
_COMMON = flags.FlagValues()
ANONYMOUS: Flag = flags.DEFINE_bool(
  'anonymous',
  False,
  'Read public buckets without credentials.',
  flag_values=_COMMON,
)


class _PathParser(flags.ArgumentParser):
  """Parses paths that commas separate."""

  def parse(self, argument: str) -> str:
    return expand_users(argument)


class Flags(flags.FlagValues):
  """The flags of one command, separate from those of other commands.

  `string` and the like define a flag and return its holder.
  """

  def string(self, name: str, text: str, default: str | None = None) -> Flag:
    return flags.DEFINE_string(name, default, text, flag_values=self)

  def path(self, name: str, text: str, default: str | None = None) -> Flag:
    """Defines a string in which each ~ that begins a path is expanded."""
    return flags.DEFINE(_PathParser(), name, default, text, flag_values=self)

  def multi_string(self, name: str, text: str) -> Flag:
    return flags.DEFINE_multi_string(name, [], text, flag_values=self)

  def list(self, name: str, text: str, default: Any = None) -> Flag:
    return flags.DEFINE_list(name, default, text, flag_values=self)

  def enum(self, name: str, text: str, choices: Any, default: str) -> Flag:
    return flags.DEFINE_enum(name, default, choices, text, flag_values=self)

  def boolean(self, name: str, text: str) -> Flag:
    return flags.DEFINE_bool(name, False, text, flag_values=self)

  def integer(
    self, name: str, text: str, default: int | None, lower: int | None = None
  ) -> Flag:
    return flags.DEFINE_integer(name, default, text, lower, flag_values=self)

  def number(
    self, name: str, text: str, default: float, lower: float | None = None
  ) -> Flag:
    return flags.DEFINE_float(name, default, text, lower, flag_values=self)

  def alias(self, name: str, current: str) -> None:
    """Defines a former name of a flag, for one version."""
    flags.DEFINE_alias(name, current, flag_values=self)

  def require(self, *names: str) -> None:
    """Raises ValueError where one of the flags is missing or empty."""
    for name in names:
      if not self[name].value:
        raise ValueError(f'{name} is not given')

  def check_choices(self, name: str, choices: Collection[str]) -> None:
    """Raises ValueError where a value of a list is not among the choices."""
    for value in self[name].value or ():
      if value not in choices:
        raise ValueError(f'{name}={value}: choose {", ".join(choices)}')

  def refuse(self, needs: str, *names: str) -> None:
    """Refuses flags that would be ignored.

    Args:
      needs: what the flags need to have an effect.
      names: the flags, whose values must be the defaults.

    Raises:
      ValueError: another value is given.
    """
    for name in names:
      if self[name].value not in (self[name].default, ''):
        raise ValueError(f'{name} needs {needs}')


def parse(own: flags.FlagValues, argv: Sequence[str]) -> list[str]:
  """Parses a command's flags and absl's for the log, after a reset.

  Args:
    own: the command's flags, which get their values.
    argv: the program's name and its flags.

  Returns:
    The arguments that are not flags.

  Raises:
    ValueError: a flag is unknown, wrong, or given twice.
  """
  values = with_log_flags(own)
  for name in values:
    values[name].unparse()
  try:
    positional = values(argv)[1:]
  except flags.Error as error:
    raise ValueError(str(error)) from error
  for flag_values in (flags.FLAGS, own, _COMMON):
    flag_values.mark_as_parsed()
  for name in own:
    # The flags of a run may be overridden, for example after --flagfile.
    may_repeat = isinstance(own[name], flags.MultiFlag) or _is_field(own, name)
    if own[name].present > 1 and not may_repeat:
      raise ValueError(f'{name} is given twice')
  return positional


def with_log_flags(own: flags.FlagValues) -> flags.FlagValues:
  """Returns a command's flags with those of all commands.

  These are `anonymous`, and absl's for the log, such as --verbosity.
  """
  values = flags.FlagValues()
  values.append_flag_values(own)
  values.append_flag_values(_COMMON)
  for flag in flags.FLAGS.flags_by_module_dict()['absl.logging']:
    if flag.name not in values:
      values[flag.name] = flag
  return values


def help_text(own: flags.FlagValues, with_log: bool = False) -> str:
  """Returns the flags with their defaults; those of `Config` are grouped.

  Args:
    own: the command's flags.
    with_log: whether the flags of the log are included.
  """
  values = with_log_flags(own) if with_log else own
  lines = []
  for name in values:
    flag = values[name]
    text = (flag.help or '').partition(';\n    repeat this option')[0]
    if text.startswith('Alias for --'):  # An old name.
      continue
    if name in own and _is_field(own, name):
      heading = Config.__dataclass_fields__[name].metadata.get('heading')
      lines += ['', f'{heading}:'] if heading else []
    default = '' if flag.default is None else flag.default
    if isinstance(default, list):
      default = ','.join(default)
    lines.append(f'  --{name}={default}')
    lines += textwrap.wrap(
      text, 80, initial_indent=6 * ' ', subsequent_indent=6 * ' '
    )
  return '\n'.join(lines)


def _is_field(own: flags.FlagValues, name: str) -> bool:
  """Returns whether a flag belongs to a field of `Config`."""
  return own.find_module_defining_flag(name) == config_flags.__name__
