"""The configuration of a run.

Each room adds its fields and their checks to those of the room below: what is
read (`DataConfig`), the model (`ModelConfig`), and here the training. A room's
functions take its own group, so the data side reads no field of the model.

The absl flags are generated from the fields, so a field, its flag and a Python
argument have one name, one default and one check.
"""

from __future__ import annotations

import dataclasses

from bigru_jax.data.glove import NAMED_VECTORS
from bigru_jax.losses import LOSSES
from bigru_jax.metrics import METRICS, current_name, each_epoch
from bigru_jax.models.config import ModelConfig
from bigru_jax.models.pooling import poolings_that
from bigru_jax.optimizers import OPTIMIZERS, SCHEDULES
from bigru_jax.runtime.fields import field


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ModelConfig):
  """Everything that decides a run; `run.py --help` explains each field.

  Examples:
    >>> Config(dataset='trec', data_dir='trec', learning_rate=2e-3).hidden_size
    128

  Raises:
    ValueError: a value is out of its bounds; the message names the field.
  """

  loss: str = field(
    'softmax',
    'The cross entropy of single_label; that of multi_label is sigmoid.',
    choices=LOSSES,
    heading='Loss and optimizer',
  )
  label_smoothing: float = field(
    0.0, 'Share of the target that is spread.', lower=0.0, below=1.0
  )
  class_weights: str = field(
    '',
    '"balanced", or comma-separated numbers, one per class in the order of '
    'labels.json. For multi_label they weigh the texts that have the label.',
  )
  attention_penalty: float = field(
    0.0, 'Of heads that overlap, for multi_head and structured.', lower=0.0
  )
  adversarial: float = field(
    0.0,
    'The norm of the adversarial perturbation of the embedded tokens of a '
    'text, whose loss is added; 0 for none.',
    lower=0.0,
  )
  virtual_adversarial: float = field(
    0.0,
    'The same of the perturbation that changes the prediction most.',
    lower=0.0,
  )
  threshold: str = field(
    'fixed',
    'The probability from which multi_label says that a text has a label: 0.5 '
    '(fixed), or one that is chosen on validation for all labels (tuned) or '
    'per_label.',
    choices=('fixed', 'tuned', 'per_label'),
  )
  optimizer: str = field('adamw', 'The optimizer.', choices=OPTIMIZERS)
  learning_rate: float = field(1e-3, 'The peak learning rate.', lower=0.0)
  weight_decay: float = field(
    1e-2, 'Of adamw, on matrices and not on biases.', lower=0.0
  )
  embedding_learning_rate_factor: float = field(
    1.0,
    "The whole embedding table's learning rate over that of the others.",
    lower=0.0,
  )
  schedule: str = field(
    'cosine', 'The learning rate over the steps.', choices=SCHEDULES
  )
  warmup: float = field(
    0.05,
    'Share of all steps over which the learning rate rises.',
    lower=0.0,
    below=1.0,
  )
  clip_norm: float = field(
    1.0, "The gradient's largest global norm; 0 for no limit.", lower=0.0
  )

  ema_decay: float = field(
    0.0,
    'Decay of the moving average of the parameters, which is what is '
    'evaluated and kept; 0 for none.',
    lower=0.0,
    below=1.0,
  )

  batch_size: int = field(
    64, 'Examples per batch, over all devices.', lower=1, heading='Training'
  )
  epochs: int = field(10, 'Maximum epochs.', lower=1, mutable=True)
  patience: int = field(
    3,
    'Stop after this many epochs without an improvement.',
    lower=1,
    mutable=True,
  )
  select_by: str = field(
    'loss',
    'The validation metric that selects the best epoch; semeval2010_f1 is the '
    "F1 of that task's scorer, for labels such as Cause-Effect(e1,e2).",
    choices=each_epoch,
  )
  seed: int = field(
    0, 'Seed of initialization, dropout and shuffling.', lower=0
  )
  cpu_devices: int = field(
    0,
    'XLA host devices that a CPU is divided into, to try sharding on one '
    "machine; 0 for JAX's own number, one.",
    lower=0,
    mutable=True,
  )
  checkpoint_every: int = field(
    500, 'Steps between checkpoints inside an epoch.', lower=1, mutable=True
  )
  max_nonfinite_steps: int = field(
    10,
    'Stop after this many consecutive steps whose loss or gradient is not '
    'finite.',
    lower=1,
    mutable=True,
  )

  def __post_init__(self) -> None:
    object.__setattr__(self, 'select_by', current_name(self.select_by))
    if self.threshold == '0.5':  # The former name.
      object.__setattr__(self, 'threshold', 'fixed')
    super().__post_init__()
    if self.attention_penalty and not self.pooling_entry.is_multi_headed:
      raise ValueError(
        f'attention_penalty={self.attention_penalty} needs pooling='
        f'{" or ".join(poolings_that("is_multi_headed"))}'
      )
    for name in ('adversarial', 'virtual_adversarial', 'attention_penalty'):
      if self.model != 'flat' and getattr(self, name):
        raise ValueError(f'{name}={getattr(self, name)} needs model=flat')
    if self.freeze_embeddings and self.embedding_learning_rate_factor != 1:
      raise ValueError(
        f'embedding_learning_rate_factor={self.embedding_learning_rate_factor} '
        'and freeze_embeddings exclude each other'
      )
    tasks = METRICS[self.select_by].tasks
    if self.task not in tasks:
      raise ValueError(
        f'select_by={self.select_by} needs task={" or ".join(tasks)}'
      )

  def differing_fields(self, other: Config | None = None) -> list[str]:
    """The names of the fields that differ from another's, or the defaults'."""
    if other is None:
      size = NAMED_VECTORS.get(self.embeddings, 0)  # It follows from the name.
      other = Config(embedding_size=size)
    return [
      config_field.name
      for config_field in dataclasses.fields(self)
      if getattr(self, config_field.name) != getattr(other, config_field.name)
    ]


def is_mutable(name: str) -> bool:
  """Whether a field may have another value when a run is resumed."""
  return Config.__dataclass_fields__[name].metadata.get('mutable', False)
