"""The generated sentences, and the words that decide their labels."""

from bigru_jax.config import Config
from bigru_jax.data import sources
from bigru_jax.data.corpora import synthetic


def test_the_deciding_tokens_of_synthetic_sentences_are_known():
  validation = synthetic.read(3)['validation']
  deciding = synthetic.deciding_positions(3, 'validation')
  opinions = {*synthetic.POSITIVE, *synthetic.NEGATIVE, synthetic.NEGATION}
  for text, positions in zip(validation.texts, deciding, strict=True):
    found = {i for i, word in enumerate(text.split()) if word in opinions}
    assert positions == found


def test_the_deciding_words_give_the_label():
  for sentence, label, deciding in zip(*synthetic.sentences(200, seed=3)):
    tokens = sentence.split()
    chosen = [tokens[i] for i in sorted(deciding)]
    positive = chosen[-1] in synthetic.POSITIVE
    assert label == (
      'positive' if positive ^ (len(chosen) == 2) else 'negative'
    )
    assert (len(chosen) == 2) == (synthetic.NEGATION in tokens)


def test_the_data_depend_on_the_split_seed_alone():
  def texts(**options):
    return sources.read(Config(dataset='synthetic', **options))['test'].texts

  assert texts(seed=1) == texts() != texts(split_seed=1)


def test_the_splits_share_no_draw():
  splits = sources.read(Config(dataset='synthetic'))
  assert not set(splits['train'].texts) & set(splits['test'].texts)
  assert {name: len(split) for name, split in splits.items()} == {
    'train': 2000, 'validation': 400, 'test': 400,
  }  # fmt: skip
