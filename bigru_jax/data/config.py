"""The fields of the configuration that belong to the data."""

from __future__ import annotations

import dataclasses

from bigru_jax.data import vector_settings
from bigru_jax.data.corpora import CORPORA
from bigru_jax.data.glove import NAMED_VECTORS, names_of
from bigru_jax.data.labels import named_columns
from bigru_jax.data.text import TOKENIZERS
from bigru_jax.data.truncation import TRUNCATIONS, Limits
from bigru_jax.data.vector_sets import JOINS, VectorSets
from bigru_jax.runtime.fields import Group, field


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(Group):
  """The settings of reading texts and of encoding them as token ids."""

  dataset: str = field(
    'rotten_tomatoes',
    f'The data set: {", ".join(CORPORA)}, or tfds:<name>[/<config>].',
    heading='Data',
  )
  data_dir: str = field(
    '',
    "The folder that contains the data set's original files.",
    path=True,
  )
  train: str = field(
    '',
    'Your own training file: .csv, .tsv, .jsonl, .json or .parquet, which may '
    'be compressed; or comma-separated files, or a pattern such as '
    'data/train-*.csv.',
    path=True,
  )
  validation: str = field(
    '',
    'Your own validation file; without it 10 % of train is held out.',
    path=True,
  )
  test: str = field(
    '',
    'Your own test file; without it 10 % of train is held out.',
    path=True,
  )
  unlabelled: str = field(
    '',
    'Your own files of texts without labels, for virtual_adversarial, '
    'entropy_weight and language_model_weight: each step has a batch of them '
    'beside that of train.',
    path=True,
  )
  text_column: str = field(
    'text',
    'The column that contains the text; or comma-separated columns, whose '
    'texts are joined by the token <sep>: title,body.',
  )
  label_column: str = field(
    'label',
    'The column that contains the label; or, for multi_label or soft_labels, '
    'comma-separated columns of numbers from 0 to 1, one for each label: '
    'toxic,insult.',
  )
  soft_labels: bool = field(
    False,
    'Labels may be probabilities of the classes: in a column for each class, '
    'or in an object such as {"ham": 0.2, "spam": 0.8}.',
  )
  weight_column: str = field(
    '',
    "The column that contains the example's weight, a number that is at least "
    '0; by default all weights are 1.',
  )
  id_column: str = field(
    '', "The column that contains the example's id, which predictions keep."
  )
  encoding: str = field(
    '',
    'The encoding of your files; by default UTF-8, or UTF-16 or UTF-32 if a '
    'file starts with a byte order mark.',
  )
  delimiter: str = field(
    '',
    'The delimiter of .csv files; by default it is detected: a comma, a '
    'semicolon or a tab.',
  )
  task: str = field(
    'single_label',
    'single_label: one label per text; multi_label: any number of them; '
    'language_model: none, see bigru pretrain.',
    choices=('single_label', 'multi_label', 'language_model'),
  )
  label_separator: str = field(
    '|',
    'For multi_label: the string that separates the labels of a text.',
  )
  label_names: str = field(
    '',
    'The comma-separated names of the labels, for multi-hot lists such as '
    '[0, 1, 1], by default 0, 1, 2, ...; or for soft_labels, for lists of '
    'probabilities.',
  )
  sst_phrases: bool = field(False, 'Train sst1 and sst2 on all phrases.')
  split_seed: int = field(
    0,
    'The seed that chooses the texts that are held out. It is separate from '
    '`seed`, so that runs with different seeds share a test set.',
    lower=0,
  )
  folds: int = field(
    0,
    'The number of folds of a cross-validation, for data without a test split; '
    '0 for no cross-validation.',
    lower=0,
  )
  fold: int = field(0, 'The fold to test on, counted from 0.', lower=0)

  tokenizer: str = field(
    'words',
    f'The tokenizer: {", ".join(TOKENIZERS)}, or a tokenizer.json.',
    heading='Text',
    path=True,
  )
  replace_urls_and_users: bool = field(
    False,
    'Replace URLs by the token <url>, and user names such as @ann by <user>.',
  )
  max_length: int = field(
    512,
    'The maximum number of tokens per text, for the flat model; see keep.',
    lower=1,
  )
  max_sentences: int = field(
    50,
    'The maximum number of sentences per text, for the hierarchical model; see '
    'keep.',
    lower=1,
  )
  keep: str = field(
    'head',
    'Which tokens (flat) or sentences (hierarchical) of a longer text are '
    'kept: the first, the last, or half of each.',
    choices=TRUNCATIONS,
    former_name='truncate',
  )
  max_sentence_length: int = field(
    50,
    'The maximum number of tokens per sentence, for the hierarchical model; a '
    'longer sentence is split.',
    lower=1,
  )
  max_vocabulary: int = field(50_000, 'The maximum vocabulary size.', lower=3)
  min_count: int = field(
    1,
    'Tokens that occur fewer times in train and unlabelled become <unk>.',
    lower=1,
  )
  embeddings: str = field(
    '',
    'Pretrained word vectors: a GloVe, word2vec or fastText file, or '
    f'{", ".join(NAMED_VECTORS)}, which is downloaded; or several of them, '
    'comma-separated.',
    path=True,
  )
  init_from: str = field(
    '',
    'Start from a trained run: its directory, or hf://owner/name for a '
    'published one. The vectors of words and the encoder are copied, and where '
    'they fit the attention and the output layer.',
    path=True,
  )
  embeddings_join: str = field(
    'concat',
    "How a word's vectors of several files are joined: concatenated, as the "
    'mean, or weighted for each token by a learned attention (meta).',
    choices=JOINS,
  )
  word_forms: bool = field(
    True,
    'Look up words without a pretrained vector in other forms: in another '
    'case, without endings, with digits or contractions as the file writes '
    'them.',
  )
  freeze_embeddings: bool | str = field(
    False,
    'Do not train the embeddings; or not those of some of several files, whose '
    'names are given, comma-separated.',
    path=True,
  )
  char_embeddings: bool = field(
    False,
    'Add to the vector of each word the mean of vectors of its character '
    'n-grams, which words unseen in training have as well.',
  )

  embedding_size: int = field(
    0,
    'The size of the token vectors; 0 means 100, or the size that downloaded '
    'vectors or several files have.',
    lower=0,
    heading='Model',
  )
  embedding_sizes: str = field(
    '',
    'The comma-separated sizes of the vectors of several files; by default '
    'they are read from the files.',
  )
  model: str = field(
    'flat',
    'flat reads a text as one sequence of tokens; hierarchical applies a BiGRU '
    'and attention to the words of each sentence, and again to the sentences.',
    choices=('flat', 'hierarchical'),
  )

  @property
  def num_texts(self) -> int:
    """The number of columns whose texts are joined to one text."""
    return len(named_columns('text_column', self.text_column))

  @property
  def limits(self) -> Limits:
    """The limits to which texts are truncated."""
    return Limits(
      max_length=self.max_length,
      keep=self.keep,
      hierarchical=self.model == 'hierarchical',
      max_sentences=self.max_sentences,
      max_sentence_length=self.max_sentence_length,
    )

  @property
  def vector_sizes(self) -> tuple[int, ...]:
    """The sizes of the vectors of several files; empty for one or none."""
    return tuple(map(int, filter(None, self.embedding_sizes.split(','))))

  @property
  def vector_sets(self) -> VectorSets | None:
    """The files of pretrained vectors; None if there are none."""
    if not self.embeddings:
      return None
    return VectorSets(
      names=tuple(names_of(self.embeddings)),
      sizes=self.vector_sizes or (self.embedding_size,),
      join=self.embeddings_join,
      word_forms=self.word_forms,
    )

  @property
  def frozen_columns(self) -> tuple[tuple[int, int], ...]:
    """The columns of the embedding table that are not trained: start, stop.

    They are those of the files that `freeze_embeddings` names.
    """
    if not isinstance(self.freeze_embeddings, str):
      return ()
    return vector_settings.columns_of(
      self.freeze_embeddings, self.embeddings, self.vector_sizes
    )

  @property
  def entity_pooling(self) -> str:
    """The pooling for which a text has to mark two entities; '' for none."""
    return ''

  def __post_init__(self) -> None:
    super().__post_init__()
    sizes, size = vector_settings.complete_sizes(
      self.embeddings,
      self.embedding_sizes,
      self.embedding_size,
      self.embeddings_join,
    )
    object.__setattr__(self, 'embedding_sizes', sizes)
    object.__setattr__(self, 'embedding_size', size)
    if isinstance(self.freeze_embeddings, str):
      vector_settings.check_frozen_names(
        self.freeze_embeddings, self.embeddings, self.embeddings_join
      )
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
    if self.task != 'multi_label' and not self.soft_labels:
      raise ValueError(
        f'label_names={self.label_names} needs task=multi_label or soft_labels'
      )
    names = [name.strip() for name in self.label_names.split(',')]
    if not all(names) or len(set(names)) < len(names):
      raise ValueError(
        f'label_names={self.label_names}: a name is empty or occurs twice'
      )
