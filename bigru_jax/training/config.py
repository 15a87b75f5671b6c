"""The fields of the configuration that belong to training."""

from __future__ import annotations

import dataclasses

from bigru_jax.data.vector_sets import JOINS
from bigru_jax.losses import LOSSES
from bigru_jax.metrics import current_name, each_epoch
from bigru_jax.metrics.thresholds import THRESHOLD_METRICS
from bigru_jax.models.config import ModelConfig
from bigru_jax.models.pooling import poolings_that
from bigru_jax.optimizers import OPTIMIZERS, SCHEDULES
from bigru_jax.runtime.fields import field


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig(ModelConfig):
  """The settings of the data, of the model and of training."""

  loss: str = field(
    'softmax',
    'The loss: the cross entropy of a softmax or of sigmoids (multi_label has '
    'sigmoids by both names); focal, which counts examples less that are '
    'classified well; or asymmetric, for multi_label with rare labels.',
    choices=LOSSES,
    heading='Loss and optimizer',
  )
  focal_gamma: float = field(
    2.0,
    'The exponent of the focal loss; 0 gives the cross entropy.',
    lower=0.0,
  )
  label_smoothing: float = field(
    0.0,
    'The share of the target that is spread over all classes.',
    lower=0.0,
    below=1.0,
  )
  class_weights: str = field(
    '',
    'The weights of the classes in the loss: "balanced", or comma-separated '
    'numbers in the alphabetical order of classes; for multi_label they weight '
    'texts that have the label. By default all are 1.',
  )
  r_drop: float = field(
    0.0,
    'The coefficient of the divergence between two predictions of a text with '
    'different dropout (R-Drop), which is added to the mean of both losses; '
    'training takes two passes. 0 turns it off.',
    lower=0.0,
  )
  mixup: float = field(
    0.0,
    'The alpha of mixup: the vectors of two texts, and their labels, are mixed '
    'by shares drawn from Beta(alpha, alpha). 0 turns it off.',
    lower=0.0,
  )
  attention_penalty: float = field(
    0.0,
    'The coefficient of the penalty on overlapping heads, for multi_head and '
    'structured.',
    lower=0.0,
  )
  adversarial: float = field(
    0.0,
    'The norm of the adversarial perturbation of the embedded tokens; the loss '
    'under the perturbation is added to the loss. 0 turns it off.',
    lower=0.0,
  )
  virtual_adversarial: float = field(
    0.0,
    'The norm of the virtual adversarial perturbation, which changes the '
    'prediction most; the change is added to the loss. 0 turns it off.',
    lower=0.0,
  )
  entropy_weight: float = field(
    0.0,
    'The coefficient of the entropy of the prediction, which is added to the '
    'loss. 0 turns it off.',
    lower=0.0,
  )
  language_model_weight: float = field(
    0.0,
    'The coefficient of the loss of both directions as language models, the '
    "mean over a text's words, which is added to the loss. 0 turns it off.",
    lower=0.0,
  )
  threshold: str = field(
    'fixed',
    'The probability at which the positive one of two classes is predicted, or '
    'multi_label assigns a label: 0.5 (fixed), or chosen on the validation '
    'set; for multi_label for all labels together (tuned) or for each label '
    '(per_label).',
    choices=('fixed', 'tuned', 'per_label'),
  )
  threshold_metric: str = field(
    'f1',
    'What a chosen threshold maximizes: F1, the Matthews correlation '
    "coefficient, or Youden's J, which is the true positive rate minus the "
    'false positive rate.',
    choices=THRESHOLD_METRICS,
  )
  positive_label: str = field(
    '',
    'The positive one of two classes, for its threshold and its metrics; by '
    'default the rarer one in train, or the second of equally many texts.',
  )
  optimizer: str = field(
    'adamw',
    'The optimizer; lazy_adamw has the results of adamw, and is faster with '
    'large vocabularies.',
    choices=OPTIMIZERS,
  )
  learning_rate: float = field(1e-3, 'The peak learning rate.', lower=0.0)
  weight_decay: float = field(
    1e-2,
    'The weight decay of adamw and lazy_adamw; biases have none.',
    lower=0.0,
  )
  embedding_learning_rate_factor: float = field(
    1.0,
    "The embeddings' learning rate relative to that of the other parameters.",
    lower=0.0,
  )
  init_learning_rate_factor: float = field(
    1.0,
    'The learning rate of what is copied by init_from, relative to that of the '
    'other parameters.',
    lower=0.0,
  )
  schedule: str = field(
    'cosine',
    'How the learning rate changes after the warmup.',
    choices=SCHEDULES,
  )
  warmup: float = field(
    0.05,
    'The share of all steps over which the learning rate rises from 0.',
    lower=0.0,
    below=1.0,
  )
  clip_norm: float = field(
    1.0,
    'The norm to which larger gradients are clipped; 0 for no clipping.',
    lower=0.0,
  )
  ema_decay: float = field(
    0.0,
    'The decay of a moving average of the parameters, which is then evaluated '
    'and used for predictions; 0 for no average.',
    lower=0.0,
    below=1.0,
  )

  batch_size: int = field(
    64,
    'The number of examples per batch, over all devices.',
    lower=1,
    heading='Training',
  )
  epochs: int = field(
    10, 'The maximum number of epochs.', lower=1, mutable=True
  )
  patience: int = field(
    3,
    'Training stops after this many epochs without an improvement.',
    lower=1,
    mutable=True,
  )
  select_by: str = field(
    'loss',
    'The validation metric that selects the best epoch; semeval2010_f1 is the '
    'official score of SemEval-2010 Task 8.',
    choices=each_epoch,
  )
  metrics: str = field(
    '',
    'The comma-separated metrics that the log, the tables and the page show; '
    'result.json has all. By default they show the usual ones.',
    mutable=True,
  )
  explain: bool = field(
    True,
    'Whether the run ends by explaining its predictions: its page then shades '
    'words by the attribution that is most faithful on validation.',
    mutable=True,
  )
  seed: int = field(
    0, 'The seed of initialization, dropout and shuffling.', lower=0
  )
  cpu_devices: int = field(
    0,
    'The number of XLA host devices of the CPU, to try out sharding on one '
    "machine; 0 for JAX's default, one device.",
    lower=0,
    mutable=True,
  )
  checkpoint_every: int = field(
    500,
    'The number of steps between checkpoints; each epoch also ends with one.',
    lower=1,
    mutable=True,
  )
  max_nonfinite_steps: int = field(
    10,
    'Training fails after this many consecutive steps whose loss or gradient '
    'is not finite.',
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
    for name in (
      'adversarial', 'virtual_adversarial', 'attention_penalty', 'unlabelled',
    ):  # fmt: skip
      if self.model != 'flat' and getattr(self, name):
        raise ValueError(f'{name}={getattr(self, name)} needs model=flat')
    if self.unlabelled and self.entity_pooling:
      raise ValueError(
        f'unlabelled={self.unlabelled} and pooling={self.pooling} exclude each '
        'other'
      )
    self._check_r_drop()
    self._check_lazy()
    self._check_language_model_weight()
    if (
      self.freeze_embeddings is True
      and self.embedding_learning_rate_factor != 1
    ):
      raise ValueError(
        f'embedding_learning_rate_factor={self.embedding_learning_rate_factor} '
        'and freeze_embeddings exclude each other'
      )

  def _check_r_drop(self) -> None:
    rates = [x.name for x in dataclasses.fields(self) if 'dropout' in x.name]
    if self.r_drop and not any(getattr(self, name) > 0 for name in rates):
      raise ValueError(
        f'r_drop={self.r_drop} needs a rate above 0 of {" or ".join(rates)}'
      )

  def _check_language_model_weight(self) -> None:
    if not self.language_model_weight:
      return
    needs = {
      'model': 'flat', 'encoder': 'bigru', 'num_layers': 1,
      'char_embeddings': False,
    }  # fmt: skip
    if JOINS[self.embeddings_join].is_learned:
      needs['embeddings_join'] = 'concat'
    for name, value in needs.items():
      if getattr(self, name) != value:
        raise ValueError(
          f'language_model_weight={self.language_model_weight} needs '
          f'{name}={value}'
        )

  def _check_lazy(self) -> None:
    for name in (
      'ema_decay', 'freeze_embeddings', 'char_embeddings',
      'language_model_weight',
    ):  # fmt: skip
      if OPTIMIZERS[self.optimizer].is_lazy and getattr(self, name):
        raise ValueError(
          f'{name}={getattr(self, name)} and optimizer={self.optimizer} '
          'exclude each other'
        )
