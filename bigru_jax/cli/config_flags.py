"""Defines the absl flags of `Config`, one for each field."""

from collections.abc import Collection
import dataclasses
from typing import Any

from absl import flags

from bigru_jax.config import Config
from bigru_jax.runtime.fields import choices_of, former_names

_ALL = tuple(field.name for field in dataclasses.fields(Config))


def define_flags(
  values: flags.FlagValues, names: Collection[str] = _ALL
) -> None:
  """Defines one absl flag per field, and one for each former name.

  Args:
    values: the flag values to which the flags are added.
    names: the names of the fields that get a flag.
  """
  define: dict[str, Any] = {
    'str': flags.DEFINE_string,
    'bool': flags.DEFINE_bool,
    'bool | str': _define_bool_or_names,
    'int': flags.DEFINE_integer,
    'float': flags.DEFINE_float,
  }
  for field in dataclasses.fields(Config):
    if field.name not in names:
      continue
    define[str(field.type)](
      field.name, field.default, _help(field), flag_values=values
    )
  for former, name in former_names(Config).items():
    if name not in names:
      continue
    flags.DEFINE_alias(former, name, flag_values=values)


class _BoolOrNames(flags.ArgumentParser[bool | str]):
  """Parses `true` and `false` as booleans, and all else as names."""

  def parse(self, argument: bool | str) -> bool | str:
    try:
      return flags.BooleanParser().parse(argument)
    except ValueError:
      return argument


def _define_bool_or_names(
  name: str, default: bool, text: str, flag_values: flags.FlagValues
) -> None:
  """Defines a flag like a boolean one, which may also have a value."""
  flag = flags.Flag(_BoolOrNames(), None, name, default, text, boolean=True)
  flags.DEFINE_flag(flag, flag_values)


def from_flags(values: flags.FlagValues, **fields: Any) -> Config:
  """Returns the configuration that the parsed flags describe.

  A field without a flag keeps its default.

  Args:
    values: the flags.
    **fields: fields that the command itself sets.

  Raises:
    ValueError: a flag is out of its bounds.
  """
  names = [name for name in _ALL if name in values]
  return Config(**{name: getattr(values, name) for name in names}, **fields)


def _help(field: dataclasses.Field) -> str:
  text = field.metadata['help']
  choices = choices_of(field)
  return f'{text} One of {", ".join(choices)}.' if choices else text
