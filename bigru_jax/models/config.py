"""The fields of the configuration that belong to the model."""

from __future__ import annotations

import dataclasses

from bigru_jax.data.config import DataConfig
from bigru_jax.models.classifier import ENCODERS
from bigru_jax.models.pooling import (
  POOLINGS,
  Pooling,
  pooling_of,
  poolings_that,
)
from bigru_jax.runtime.fields import field


def _rate(default: float, help: str) -> float:
  return field(default, f'The rate {help}.', lower=0.0, below=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(DataConfig):
  """The settings of the data and of the model."""

  encoder: str = field(
    'bigru',
    'The encoder of the flat model; average encodes each token by itself, '
    'without recurrence.',
    choices=ENCODERS,
  )
  hidden_size: int = field(128, 'The hidden size per direction.', lower=1)
  num_layers: int = field(1, 'The number of BiGRU layers.', lower=1)
  pooling: str = field(
    'additive',
    'How the states are pooled into one vector; + concatenates the vectors of '
    'several poolings, as in additive+max+mean.',
    choices=POOLINGS,
    separator='+',
    former_name='attention',
  )
  num_heads: int = field(
    4, 'The number of heads of multi_head, or of hops of structured.', lower=1
  )
  dropout: float = _rate(0.5, 'of dropout between layers and after pooling')
  dropout_after_pooling: float = field(
    -1.0,
    'The rate of dropout after pooling alone; -1 for that of dropout.',
    lower=-1.0,
    below=1.0,
  )
  embedding_dropout: float = _rate(0.5, 'of dropout on the embedded tokens')
  spatial_dropout: float = _rate(
    0.0, 'of dropout on whole features of the embedding of a text'
  )
  word_dropout: float = _rate(0.0, 'at which tokens become <unk>')
  recurrent_dropout: float = _rate(0.0, 'of variational dropout on the state')
  sampled_words: int = field(
    1024,
    'Of a language model, and of language_model_weight: the number of words '
    'that are drawn for each batch, over which the softmax sums in training; 0 '
    'for all words.',
    lower=0,
  )
  weight_drop: float = _rate(0.0, 'of dropout on the recurrent kernels')
  dtype: str = field(
    'float32',
    'The type of the computation; parameters, softmax and loss are float32.',
    choices=('float32', 'bfloat16'),
  )

  @property
  def pooling_entry(self) -> Pooling:
    """The entry of the pooling; see `pooling.pooling_of`."""
    return pooling_of(self.pooling)

  @property
  def head_names(self) -> list[str]:
    """The names of the heads of joined poolings; empty for one pooling."""
    return self.pooling_entry.head_names(self.num_heads)

  @property
  def entity_pooling(self) -> str:
    """The pooling for which a text has to mark two entities; '' for none."""
    return self.pooling if self.pooling_entry.needs_entities else ''

  def __post_init__(self) -> None:
    super().__post_init__()
    if -1 < self.dropout_after_pooling < 0:
      raise ValueError(
        f'dropout_after_pooling={self.dropout_after_pooling} is below 0; -1 is '
        'the rate of dropout'
      )
    if (
      self.pooling_entry.splits_features
      and 2 * self.hidden_size % self.num_heads
    ):
      raise ValueError(
        f'num_heads={self.num_heads} does not divide the '
        f'{2 * self.hidden_size} features of hidden_size={self.hidden_size}'
      )
    if self.task == 'language_model':
      self._check_language_model()
    if self.encoder == 'average':
      for name in ('recurrent_dropout', 'weight_drop'):
        if getattr(self, name):
          raise ValueError(f'{name}={getattr(self, name)} needs encoder=bigru')
      if self.num_layers > 1 or self.model != 'flat':
        raise ValueError('encoder=average needs num_layers=1 and model=flat')
    if self.model == 'hierarchical' and not self.pooling_entry.fits_any_states:
      raise ValueError(
        f'pooling={self.pooling!r}: model=hierarchical takes '
        f'{", ".join(poolings_that("fits_any_states"))}'
      )

  def _check_language_model(self) -> None:
    if self.num_layers > 1:
      raise ValueError(
        f'num_layers={self.num_layers}: a language model has one layer, since '
        'a second bidirectional layer would read the words it is to predict'
      )
    if self.encoder != 'bigru' or self.model != 'flat':
      raise ValueError(f'task={self.task} needs encoder=bigru and model=flat')
