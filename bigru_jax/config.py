"""The configuration: one frozen dataclass; the absl flags are its fields."""

import dataclasses
import math

from absl import flags


def _field(default, help_text, **options):
  return dataclasses.field(
    default=default, metadata={'help': help_text, **options}
  )


@dataclasses.dataclass(frozen=True)
class Config:
  """Everything that decides a run. See each field's help.

  A harmless field may change when a run goes on.
  """

  # Data.
  dataset: str = _field(
    'rotten_tomatoes',
    'rotten_tomatoes, reuters_r8, reuters_r52, newsgroups20, mr, sst1, sst2, '
    'trec, synthetic or tfds:<name>[/<config>].',
  )
  data_dir: str = _field(
    '', "The folder that directly holds a data set's original files."
  )
  train: str = _field(
    '', 'A file of your own: .csv, .tsv, .jsonl or .parquet, gzipped or not.'
  )
  validation: str = _field('', 'The same, for validation.')
  test: str = _field('', 'The same, for the test.')
  text_column: str = _field('text', 'The column that holds the text.')
  label_column: str = _field('label', 'The column that holds the label.')
  sst_phrases: bool = _field(False, 'Train sst1 and sst2 on all phrases.')
  # Text.
  tokenizer: str = _field(
    'words', 'words, whitespace, characters, or a tokenizer.json.'
  )
  max_length: int = _field(512, 'Tokens kept of a text.', lower=1)
  max_vocabulary: int = _field(50_000, 'Entries of the vocabulary.', lower=3)
  min_count: int = _field(1, 'A rarer token is <unk>.', lower=1)
  embeddings: str = _field('', 'A GloVe, word2vec or fastText file.')
  freeze_embeddings: bool = _field(False, 'Keep the embeddings as they are.')
  # Model.
  embedding_size: int = _field(100, "A token vector's width.", lower=1)
  hidden_size: int = _field(128, 'Units of each direction.', lower=1)
  num_layers: int = _field(1, 'BiGRU layers.', lower=1)
  attention: str = _field(
    'additive', 'The pooling.', choices=('additive', 'dot', 'mean')
  )
  dropout: float = _field(
    0.5, 'On the pooled states and between layers.', lower=0.0, below=1.0
  )
  embedding_dropout: float = _field(
    0.5, 'On the embedded tokens.', lower=0.0, below=1.0
  )
  recurrent_dropout: float = _field(
    0.0, 'Variational, on the recurrent state.', lower=0.0, below=1.0
  )
  # Loss and optimiser.
  loss: str = _field('softmax', 'The loss.', choices=('softmax', 'sigmoid'))
  label_smoothing: float = _field(
    0.0, 'The share of the target that is spread.', lower=0.0, below=1.0
  )
  class_weights: str = _field(
    '', "balanced, or a comma-separated number a class, in labels.json's order."
  )
  optimizer: str = _field(
    'adamw', 'The optimiser.', choices=('adamw', 'adam', 'sgd')
  )
  learning_rate: float = _field(1e-3, 'The peak rate.', lower=0.0)
  weight_decay: float = _field(1e-2, 'Of adamw, not on biases.', lower=0.0)
  schedule: str = _field(
    'cosine', 'The rate by step.', choices=('constant', 'cosine', 'linear')
  )
  warmup: float = _field(
    0.05, 'The share of all steps of rising rate.', lower=0.0, below=1.0
  )
  clip_norm: float = _field(
    1.0, "The gradient's largest global norm; 0 for none.", lower=0.0
  )
  # The loop.
  batch_size: int = _field(64, 'Global, over all devices.', lower=1)
  epochs: int = _field(10, 'The most epochs.', lower=1, harmless=True)
  patience: int = _field(
    3,
    'Stop after so many epochs without a better one.',
    lower=1,
    harmless=True,
  )
  select_by: str = _field(
    'loss', 'What makes a validation best.', choices=('loss', 'accuracy')
  )
  seed: int = _field(0, 'Every random thing comes from it.', lower=0)
  dtype: str = _field(
    'float32',
    'The type of the computation; parameters, softmax and loss are float32.',
    choices=('float32', 'bfloat16'),
  )
  cpu_devices: int = _field(
    0, 'XLA host devices on a CPU; 0 for one a core.', lower=0
  )
  checkpoint_every: int = _field(
    500, 'Steps between checkpoints inside an epoch.', lower=1, harmless=True
  )
  max_bad_steps: int = _field(
    10,
    'Stop after so many steps in a row whose loss or gradient is not finite.',
    lower=1,
    harmless=True,
  )

  def __post_init__(self):
    for field in dataclasses.fields(self):
      _check(field, getattr(self, field.name))


def _check(field, value):
  """Raises ValueError, naming the flag, where a value is out of its bounds."""
  kind, limits = field.type, field.metadata
  if type(value) is int and kind is float:
    value = float(value)
  if type(value) is not kind:
    raise ValueError(f'--{field.name}={value!r} is not a {kind.__name__}')
  if kind is float and not math.isfinite(value):
    raise ValueError(f'--{field.name}={value} is not a finite number')
  if 'lower' in limits and not limits['lower'] <= value < 2**31:
    raise ValueError(f'--{field.name}={value} is less than {limits["lower"]}')
  if 'below' in limits and value >= limits['below']:
    raise ValueError(f'--{field.name}={value} is not below {limits["below"]}')
  if 'choices' in limits and value not in limits['choices']:
    raise ValueError(
      f'--{field.name}={value!r}: choose {", ".join(limits["choices"])}'
    )


def define_flags():
  """Defines one absl flag a field."""
  define = {
    str: flags.DEFINE_string,
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
  }
  for field in dataclasses.fields(Config):
    choices = field.metadata.get('choices')
    text = field.metadata['help']
    if choices:
      text += f' One of {", ".join(choices)}.'
    define[field.type](field.name, field.default, text)


def from_flags(values=flags.FLAGS):
  """The configuration that the parsed flags describe.

  Raises:
    ValueError: a flag is out of its bounds.
  """
  return Config(
    **{f.name: getattr(values, f.name) for f in dataclasses.fields(Config)}
  )
