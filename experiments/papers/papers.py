"""The rows of papers' tables: protocol, data, and the scores they publish.

Published scores are written here alone. The flags of a row are in
recipes/<name>.flags, and its result is in results/<name>.json.
"""

import dataclasses

TABLE = 'table'  # Of the paper's own table, slides or released files.
QUOTED = 'quoted'  # In another paper.
REPORTED = 'reported'  # Not checked against a copy.


@dataclasses.dataclass(frozen=True)
class Published:
  """A published score.

  Attributes:
    paper: the model and its paper.
    value: the score, a fraction.
    std: its standard deviation, where one is given.
    kind: `TABLE`, `QUOTED` or `REPORTED`.
  """

  paper: str
  value: float
  std: float | None = None
  kind: str = TABLE


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a table.

  Attributes:
    name: of its recipe and of its result.
    title: the data set, in words.
    protocol: what is trained on and tested, in words.
    published: what papers report; empty where none has this protocol.
    folder: that directly holds the data, in `--data_root`; empty where a
      package that is fetched holds them.
    files: that must be there; a Parquet file has the columns text and label.
    source: where the data are downloaded.
    seeds: how many are run by default.
    folds: of a cross-validation; 0 where there is none.
    metric: of result.json.
    split: whose metric it is.
    vectors: whether it starts from word vectors.
    against: another row, which the same folds and seeds are compared with.
  """

  name: str
  title: str
  protocol: str
  published: tuple[Published, ...] = ()
  folder: str = ''
  files: tuple[str, ...] = ()
  source: str = ''
  seeds: int = 3
  folds: int = 0
  metric: str = 'accuracy'
  split: str = 'test'
  vectors: bool = True
  against: str = ''


VECTORS_SOURCE = 'https://nlp.stanford.edu/data/glove.6B.zip'
_PANG_LEE = 'https://www.cs.cornell.edu/people/pabo/movie-review-data/'
_SST = 'https://nlp.stanford.edu/sentiment/trainDevTestTrees_PTB.zip'
_TEXT_GCN = (
  'the texts of https://github.com/yao8839836/text_gcn, as Parquet with the '
  'columns text and label'
)
_REVIEWS = (
  f'a sample of 1,500 reviews of polarity v2.0, {_PANG_LEE}, as CSV: 1 or -1, '
  'and the text, a sentence a line'
)
_TREES = 'train.txt', 'dev.txt', 'test.txt'
_PARQUET = 'train.parquet', 'test.parquet'
# P. Zhou et al., 2016, https://aclanthology.org/C16-1329.
_BLSTM_ATT = 'BLSTM-Att (Zhou et al. 2016)'
_BLSTM_2DCNN = 'BLSTM-2DCNN (Zhou et al. 2016)'
_YAO = 'Yao et al. 2019'
_SACHAN = 'mixed objective, with unlabelled text (Sachan et al. 2019)'

ROWS = {
  row.name: row
  for row in (
    Row(
      'mr',
      'MR',
      '10-fold cross-validation',
      (
        Published('GRU (Mu 2018)', 0.783, kind=QUOTED),
        Published(_BLSTM_ATT, 0.810, kind=REPORTED),
        Published('RNN-Capsule (Wang et al. 2018)', 0.838, kind=QUOTED),
      ),
      folder='mr',
      files=('rt-polarity.pos', 'rt-polarity.neg'),
      source=f'{_PANG_LEE}rt-polaritydata.tar.gz',
      seeds=1,
      folds=10,
    ),
    Row(
      'mr_text_gcn',
      "MR, Text GCN's split",
      'its test set',
      (
        Published(f'Bi-LSTM ({_YAO})', 0.7768, 0.0086),
        Published(f'Text GCN ({_YAO})', 0.7674),
      ),
      folder='mr_text_gcn',
      files=_PARQUET,
      source=_TEXT_GCN,
    ),
    Row(
      'sst2',
      'SST-2',
      'trained on phrases, tested on sentences',
      (
        Published(_BLSTM_ATT, 0.882, kind=REPORTED),
        Published(_BLSTM_2DCNN, 0.895, kind=QUOTED),
      ),
      folder='sst/trees',
      files=_TREES,
      source=_SST,
    ),
    Row(
      'sst1',
      'SST-1',
      'trained on phrases, tested on sentences',
      (
        Published('GRU', 0.450, kind=QUOTED),
        Published(_BLSTM_ATT, 0.498, kind=REPORTED),
        Published(_BLSTM_2DCNN, 0.524, kind=REPORTED),
      ),
      folder='sst/trees',
      files=_TREES,
      source=_SST,
    ),
    Row(
      'trec',
      'TREC',
      'its test set, six classes',
      (
        Published('GRU', 0.930, kind=QUOTED),
        Published(_BLSTM_ATT, 0.938, kind=REPORTED),
        Published(_BLSTM_2DCNN, 0.961, kind=QUOTED),
      ),
      folder='trec',
      files=('train_5500.label', 'TREC_10.label'),
      source='https://cogcomp.seas.upenn.edu/Data/QA/QC/',
    ),
    Row(
      'r8',
      'Reuters R8',
      'its test set',
      (
        Published(f'Bi-LSTM ({_YAO})', 0.9631, 0.0033),
        Published(f'Text GCN ({_YAO})', 0.9707),
      ),
    ),
    Row(
      'r52',
      'Reuters R52',
      'its test set',
      (
        Published(f'Bi-LSTM ({_YAO})', 0.9054, 0.0091),
        Published(f'Text GCN ({_YAO})', 0.9356),
      ),
    ),
    Row(
      'newsgroups20',
      '20 Newsgroups',
      'its test set',
      (
        Published(f'Bi-LSTM ({_YAO})', 0.7318, 0.0185),
        Published(f'LSTM, pretrained ({_YAO})', 0.7543),
        Published(f'SWEM ({_YAO})', 0.8516),
        Published(f'Text GCN ({_YAO})', 0.8634),
      ),
    ),
    Row(
      'ohsumed',
      'Ohsumed',
      'its test set, single labels',
      (
        Published(f'Bi-LSTM ({_YAO})', 0.4927, 0.0107),
        Published(f'LSTM ({_YAO})', 0.5110),
        Published(f'Text GCN ({_YAO})', 0.6836),
      ),
      folder='ohsumed',
      files=_PARQUET,
      source=_TEXT_GCN,
    ),
    Row(
      'semeval2010',
      'SemEval-2010 Task 8',
      'its test set, the official macro F1',
      (
        # P. Zhou et al., 2016, https://aclanthology.org/P16-2034.
        Published('Att-BLSTM (Zhou et al. 2016)', 0.840, kind=QUOTED),
        Published('Att-BLSTM, the best of its re-implementations', 0.835),
        # Table 2 of https://doi.org/10.1155/2017/3924641.
        Published('BiGRU with entity attention (Qin et al. 2017)', 0.847),
        Published(
          'BiGRU, the entities concatenated, no attention (Qin et al. 2017)',
          0.846,
        ),
      ),
      folder='semeval2010_task8',
      files=('TRAIN_FILE.TXT', 'TEST_FILE_FULL.TXT'),
      source='http://semeval2.fbk.eu/semeval2.php?location=data',
      metric='semeval2010_f1',
    ),
    Row(
      'imdb',
      'IMDB',
      'its test set',
      (
        Published('LSTM with attention, informal, 300 dimensions', 0.921),
        Published('LSTM with attention (Jain & Wallace 2019)', 0.90),
        Published(
          'VAT, with unlabelled text (Miyato et al. 2017)', 0.941, kind=QUOTED
        ),
        Published(_SACHAN, 0.957, kind=QUOTED),
      ),
      folder='imdb',
      files=_PARQUET,
      source='the texts of https://ai.stanford.edu/~amaas/data/sentiment/, as '
      'Parquet with the columns text and label',
    ),
    *(
      Row(
        name,
        f'Whole movie reviews (a sample), {model}',
        '10-fold cross-validation',
        folder='movie_reviews',
        files=('polarity-1500.csv.gz',),
        source=_REVIEWS,
        seeds=1,
        folds=10,
        against=against,
      )
      for name, model, against in (
        ('movie_reviews', 'HAN', 'movie_reviews_flat'),
        ('movie_reviews_flat', 'flat', ''),
      )
    ),
    Row(
      'hotel_reviews',
      'Chinese hotel reviews (ChnSentiCorp)',
      'a tenth held out by split seed 0, by characters',
      folder='chinese',
      files=('hotel_reviews.parquet',),
      source='the texts of https://github.com/SophonPlus/ChineseNlpCorpus, as '
      'Parquet with the columns text and label',
      seeds=5,
      vectors=False,
    ),
    Row(
      'glue_sst2',
      'SST-2 of GLUE',
      'its validation set, which also selects the epoch; a tenth of train is '
      'held out and not used',
      (Published("Flax's example sst2", 0.8521),),
      folder='tfds',
      files=('glue/sst2',),
      source='TFDS, which its command in recipes/ fetches',
      split='validation',
    ),
    Row(
      'yelp_polarity',
      'Yelp, two classes',
      'its test set',
      folder='tfds',
      files=('yelp_polarity_reviews',),
      source='TFDS, which its command in recipes/ fetches',
    ),
    *(
      Row(
        name,
        title,
        'its test set',
        (Published('HN-ATT (Yang et al. 2016)', score, kind=QUOTED),),
        folder=name,
        files=_PARQUET,
        source="the paper's authors, as Parquet with the columns text and "
        'label',
      )
      for name, title, score in (
        ('yelp_2013', 'Yelp 2013, five classes', 0.682),
        ('yelp_2015', 'Yelp 2015, five classes', 0.710),
        ('yahoo_answers', 'Yahoo Answers, ten classes', 0.758),
        ('amazon_reviews', 'Amazon reviews, five classes', 0.636),
      )
    ),
  )
}
