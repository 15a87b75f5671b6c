"""The entities of texts in a batch, and the errors for texts without them."""

import numpy as np
import pytest

from bigru_jax.config import Config
from bigru_jax.data import entities, text
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.prepare import prepare
from bigru_jax.data.ragged import pack
from bigru_jax.data.splits import Table
from bigru_jax.data.tokenizer import JsonTokenizer

OPTIONS = {'pooling': 'entity'}
GOOD = ['a <e1>red cup</e1> of <e2>tea</e2> .', '<e2>b</e2> in <e1>c</e1>']


def _corpus(*more):
  texts = [*GOOD * 10, *more]
  labels = ['x', 'y'] * 10 + ['x'] * len(more)
  splits = dict.fromkeys(('validation', 'test'), (GOOD, ['x', 'y']))
  return {'train': (texts, labels), **splits}


def test_a_batch_says_which_tokens_are_inside_which_entity():
  data = prepare(Config(**OPTIONS), _corpus())
  batch = data.splits['test'].batch(np.array([0, 1]), 12, 3)
  assert batch['entities'].dtype == np.int32
  np.testing.assert_array_equal(
    batch['entities'],
    [
      [0, 0, 1, 1, 0, 0, 0, 2, 0, 0, 0, 0],
      [0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
      [0] * 12,
    ],
  )
  # Words that are unknown change no entity.
  unseen = data.splits['test'].mask_unseen(data.tokenizer.encode('tea')[1][0])
  again = unseen.batch(np.array([0]), 12, 1)
  np.testing.assert_array_equal(again['entities'], batch['entities'][:1])


def test_only_entity_attention_asks_for_entities():
  data = prepare(Config(), _corpus('no entity'))
  batch = data.splits['train'].batch(np.array([0]), 12, 1)
  assert set(batch) == {'tokens', 'lengths', 'labels', 'weights'}


@pytest.mark.parametrize(
  'wrong',
  [
    'no entity',
    '',
    'a <e1>cup</e1> of tea',
    'a cup of <e2>tea</e2>',
    '<e1></e1> of <e2>tea</e2>',
    '</e1>cup<e1> of <e2>tea</e2>',
    '<e1>cup</e1> of <e2>tea</e2> and <e2>milk</e2>',
    '<e1>cup <e2>of</e2> tea</e1>',
    '<e1>cup <e2>of</e1> tea</e2>',
    'a cup of good milk and <e1>a</e1> <e2>b</e2>',  # It is truncated.
  ],
)
def test_a_text_without_both_entities_is_named(wrong):
  config = Config(**OPTIONS, max_length=11)
  message = 'row 21: pooling=entity needs one <e1>..</e1> and one <e2>..</e2>'
  with pytest.raises(ValueError, match=rf"corpus\['train'\], {message}"):
    prepare(config, _corpus(wrong))


def test_a_text_of_the_test_split_and_one_without_any_marker_are_named():
  corpus = _corpus()
  corpus['test'] = ([GOOD[0], 'odd'], ['x', 'y'])
  with pytest.raises(ValueError, match=r"corpus\['test'\], row 2: pooling=e"):
    prepare(Config(**OPTIONS), corpus)
  plain = {name: (['a', 'b'], ['x', 'y']) for name in corpus}
  with pytest.raises(ValueError, match=r"corpus\['train'\], row 1: pooling"):
    prepare(Config(**OPTIONS), plain)


def test_a_text_late_in_the_file_is_named(monkeypatch):
  monkeypatch.setattr(entities, '_BLOCK', 2)
  encoded = pack([[2, 9, 3, 4, 9, 5]] * 4 + [[2, 9, 3, 4, 5]])
  with pytest.raises(ValueError, match='^text 4: '):
    entities.check_entities(
      encoded, (2, 3, 4, 5), lambda i: f'text {i}', 'entity'
    )


def test_every_text_of_a_bucket_has_its_own_entities():
  rng = np.random.default_rng(0)
  ids, expected = [], []
  for _ in range(50):
    sizes = rng.integers(1, 4, 5)
    parts = [np.full(size, 9) for size in sizes]
    pieces = [(parts[0], 0), ([2], 0), (parts[1], 1), ([3], 0), (parts[2], 0)]
    pieces += [([4], 0), (parts[3], 2), ([5], 0), (parts[4], 0)]
    ids.append(np.concatenate([piece for piece, _ in pieces]))
    expected.append(
      np.concatenate([np.full(len(piece), kind) for piece, kind in pieces])
    )
  encoded = pack(ids)
  entities.check_entities(encoded, (2, 3, 4, 5), str, 'entity')
  table = Table(
    {'tokens': encoded, 'label': np.zeros(50, int), 'weight': np.ones(50)}
  )
  split = EncodedSplit(table=table, buckets=[20], markers=(2, 3, 4, 5))
  rows = rng.permutation(50)[:7]
  batch = split.batch(rows, 20, 8)
  for found, row in zip(batch['entities'], rows):
    assert found[: len(expected[row])].tolist() == expected[row].tolist()
    assert not found[len(expected[row]) :].any()


def test_a_json_tokenizer_must_know_the_markers(tmp_path):
  tokenizers = pytest.importorskip('tokenizers')
  ids = {'[UNK]': 0, 'cup': 1, **{m: i for i, m in enumerate(text.MARKERS, 2)}}
  tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, '[UNK]'))
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  tokenizer.save(str(tmp_path / 'whole.json'))
  whole = JsonTokenizer(tmp_path / 'whole.json')
  assert entities.marker_ids(whole, 'entity') == (4, 5, 6, 7)
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  tokenizer.save(str(tmp_path / 'split.json'))
  split = JsonTokenizer(tmp_path / 'split.json')
  with pytest.raises(ValueError, match='does not take <e1> as one token'):
    entities.marker_ids(split, 'entity')
