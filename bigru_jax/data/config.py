"""The fields of a configuration that say what is read, and how."""

from __future__ import annotations

import dataclasses

from bigru_jax.data.corpora import CORPORA
from bigru_jax.data.glove import NAMED_VECTORS
from bigru_jax.data.text import TOKENIZERS
from bigru_jax.data.truncation import TRUNCATIONS, Limits
from bigru_jax.runtime.fields import Group, field


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(Group):
  """What is read, and how a text becomes ids."""

  dataset: str = field(
    'rotten_tomatoes',
    f'{", ".join(CORPORA)}, or tfds:<name>[/<config>].',
    heading='Data',
  )
  data_dir: str = field(
    '',
    "The folder that directly holds a data set's original files.",
    path=True,
  )
  train: str = field(
    '',
    'A file of your own: .csv, .tsv, .jsonl, .json or .parquet, compressed or '
    'not; several with commas between, or a pattern such as data/train-*.csv.',
    path=True,
  )
  validation: str = field(
    '',
    'The same, for validation; without it a tenth of train is held out.',
    path=True,
  )
  test: str = field(
    '',
    'The same, for the test; without it a tenth of train is held out.',
    path=True,
  )
  text_column: str = field('text', 'The column that holds the text.')
  label_column: str = field(
    'label',
    'The column that holds the label; or for multi_label a column of 0 and 1 '
    'for each label, with commas between: toxic,insult.',
  )
  encoding: str = field(
    '', 'Of your files; by default UTF-8, or UTF-16 or UTF-32 with its mark.'
  )
  delimiter: str = field(
    '', 'Of .csv files; by default found among comma, semicolon and tab.'
  )
  task: str = field(
    'single_label',
    'single_label: one label per text; multi_label: any number of them.',
    choices=('single_label', 'multi_label'),
  )
  label_separator: str = field(
    '|', 'Between the labels of a text, for multi_label, in a string.'
  )
  label_names: str = field(
    '',
    'The names of the labels of multi-hot lists such as [0, 1, 1], with commas '
    'between; by default 0, 1, 2, ...',
  )
  sst_phrases: bool = field(False, 'Train sst1 and sst2 on all phrases.')
  split_seed: int = field(
    0,
    'Seed of what is held out, apart from `seed`, so that runs over several '
    'seeds share a test set.',
    lower=0,
  )
  folds: int = field(
    0,
    'Folds of a cross-validation, in place of a test split: of data that have '
    'none. 0 for no cross-validation.',
    lower=0,
  )
  fold: int = field(0, 'The fold that is the test, from 0.', lower=0)

  tokenizer: str = field(
    'words',
    f'{", ".join(TOKENIZERS)}, or a tokenizer.json.',
    heading='Text',
    path=True,
  )
  max_length: int = field(
    512,
    'Tokens kept of a text in the flat model; the others are dropped.',
    lower=1,
  )
  max_sentences: int = field(
    50,
    'Sentences kept of a text in the hierarchical model, in place of '
    'max_length.',
    lower=1,
  )
  keep: str = field(
    'head',
    'Which tokens of a longer text the flat model keeps, and which sentences '
    'the hierarchical one: the first, the last, or half of each.',
    choices=TRUNCATIONS,
    former_name='truncate',
  )
  max_sentence_length: int = field(
    50,
    "Tokens of the hierarchical model's longest sentence; a longer one "
    'continues in further sentences.',
    lower=1,
  )
  max_vocabulary: int = field(50_000, 'Size of the vocabulary.', lower=3)
  min_count: int = field(
    1, 'A token that occurs less often in train is <unk>.', lower=1
  )
  embeddings: str = field(
    '',
    f'A GloVe, word2vec or fastText file, or {", ".join(NAMED_VECTORS)}, which '
    'is fetched.',
    path=True,
  )
  freeze_embeddings: bool = field(False, 'Do not train the embeddings.')

  embedding_size: int = field(
    0,
    "A token vector's size; 0 for 100, or for that of fetched vectors.",
    lower=0,
    heading='Model',
  )
  model: str = field(
    'flat',
    'flat reads a text as one sequence of tokens, hierarchical as sentences of '
    'tokens: a BiGRU and an attention over the words of each, and a second '
    'pair over the sentences.',
    choices=('flat', 'hierarchical'),
  )

  @property
  def limits(self) -> Limits:
    """What of a text is kept."""
    return Limits(
      max_length=self.max_length,
      keep=self.keep,
      hierarchical=self.model == 'hierarchical',
      max_sentences=self.max_sentences,
      max_sentence_length=self.max_sentence_length,
    )

  @property
  def entity_pooling(self) -> str:
    """The pooling for which a text has to mark two entities; '' for none."""
    return ''

  def __post_init__(self) -> None:
    super().__post_init__()
    vector_size = NAMED_VECTORS.get(self.embeddings, 0)
    if vector_size and self.embedding_size not in (0, vector_size):
      raise ValueError(
        f'embedding_size={self.embedding_size}: {self.embeddings} has vectors '
        f'of {vector_size} numbers'
      )
    if not self.embedding_size:
      object.__setattr__(self, 'embedding_size', vector_size or 100)
    if self.folds == 1 or self.fold >= max(self.folds, 1):
      raise ValueError(
        f'fold={self.fold} is out of range: folds={self.folds} must be 0 (off) '
        'or at least 2, with 0 <= fold < folds'
      )
    if not self.label_separator:
      raise ValueError('label_separator is empty')
    if self.label_names:
      self._check_label_names()

  def _check_label_names(self) -> None:
    if self.task != 'multi_label':
      raise ValueError(f'label_names={self.label_names} needs task=multi_label')
    names = [name.strip() for name in self.label_names.split(',')]
    if not all(names) or len(set(names)) < len(names):
      raise ValueError(
        f'label_names={self.label_names}: a name is empty or occurs twice'
      )
