"""The configuration of a run.

The fields of the data are in `DataConfig`; `ModelConfig` adds those of the
model, and `TrainingConfig` those of training. The functions of `data` take only
a `DataConfig`, so they cannot depend on the model.

The absl flags are generated from the fields, so a field, its flag and the
Python argument share one name, one default and one check.
"""

from __future__ import annotations

import dataclasses

from bigru_jax.data.glove import NAMED_VECTORS
from bigru_jax.losses import LOSSES
from bigru_jax.metrics import METRICS, names_in
from bigru_jax.runtime import facts
from bigru_jax.training.config import TrainingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
  """All settings of a run; `bigru run --help` explains each field.

  Examples:
    >>> config = Config(dataset='trec', data_dir='trec', hidden_size=128)
    >>> config.hidden_size
    128
    >>> config  # The fields that are not the defaults.
    Config(dataset='trec', data_dir='trec')

  Raises:
    ValueError: a value is out of bounds; the message names the field.
  """

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.init_from and self.embeddings:
      raise ValueError(
        f'init_from={self.init_from} and embeddings={self.embeddings} exclude '
        'each other'
      )
    tasks = LOSSES[self.loss].tasks
    if self.task not in tasks:
      raise ValueError(f'loss={self.loss} needs task={" or ".join(tasks)}')
    tasks = METRICS[self.select_by].tasks
    if self.task not in tasks:
      raise ValueError(
        f'select_by={self.select_by} needs task={" or ".join(tasks)}'
      )
    for name in names_in(self.metrics):
      tasks = METRICS[name].tasks
      if self.task not in tasks:
        raise ValueError(f'metrics={name} needs task={" or ".join(tasks)}')
      if METRICS[name].on_request and name != self.select_by:
        raise ValueError(f'metrics={name} needs select_by={name}')

  def __repr__(self) -> str:
    """Returns the call that makes it, of the fields that are not defaults."""
    values = [f'{x}={getattr(self, x)!r}' for x in self.differing_fields()]
    return f'Config({", ".join(values)})'

  def _repr_html_(self) -> str:
    names = self.differing_fields()
    title = 'Config' if names else 'Config, with the default of every field'
    return facts.as_html(title, {x: str(getattr(self, x)) for x in names})

  def differing_fields(self, other: Config | None = None) -> list[str]:
    """Returns the fields that differ from `other`, by default the defaults."""
    implied: tuple[str, ...] = ()
    if other is None:
      other = Config()
      if self.embedding_sizes or self.embeddings in NAMED_VECTORS:
        implied = 'embedding_size', 'embedding_sizes'  # By the files.
    return [
      config_field.name
      for config_field in dataclasses.fields(self)
      if config_field.name not in implied
      and getattr(self, config_field.name) != getattr(other, config_field.name)
    ]


def is_mutable(name: str) -> bool:
  """Returns whether a field may have another value when a run is resumed."""
  return Config.__dataclass_fields__[name].metadata.get('mutable', False)
