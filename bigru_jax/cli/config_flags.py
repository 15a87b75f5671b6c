"""Defines the absl flags of `Config`, one for each field."""

import dataclasses
from typing import Any

from absl import flags

from bigru_jax.config import Config
from bigru_jax.runtime.fields import choices_of, former_names


def define_flags(values: flags.FlagValues) -> None:
  """Defines one absl flag per field, and one for each former name."""
  define: dict[str, Any] = {
    'str': flags.DEFINE_string,
    'bool': flags.DEFINE_bool,
    'int': flags.DEFINE_integer,
    'float': flags.DEFINE_float,
  }
  for field in dataclasses.fields(Config):
    define[str(field.type)](
      field.name, field.default, _help(field), flag_values=values
    )
  for former, name in former_names(Config).items():
    flags.DEFINE_alias(former, name, flag_values=values)


def from_flags(values: flags.FlagValues) -> Config:
  """Returns the configuration that the parsed flags describe.

  Raises:
    ValueError: a flag is out of its bounds.
  """
  return Config(
    **{f.name: getattr(values, f.name) for f in dataclasses.fields(Config)}
  )


def _help(field: dataclasses.Field) -> str:
  text = field.metadata['help']
  choices = choices_of(field)
  return f'{text} One of {", ".join(choices)}.' if choices else text
