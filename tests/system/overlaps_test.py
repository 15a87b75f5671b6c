"""The count of sentences that share sequences of words with other texts."""

import numpy as np
import pandas
import pytest
from scripts import run_command

from experiments.papers import overlaps

REVIEW = 'one two three four five six seven eight nine ten'


def test_sequences_are_counted_as_sets_of_tuples_are():
  rng = np.random.default_rng(0)
  texts = [rng.integers(1, 3, 40).astype(np.uint64) for _ in range(5)]
  sentences = [rng.integers(1, 3, n).astype(np.uint64) for n in (7, 8, 12, 20)]

  def tuples(ids):
    ends = range(overlaps.LENGTH, len(ids) + 1)
    return {tuple(ids[i - overlaps.LENGTH : i]) for i in ends}

  known_tuples = set.union(*map(tuples, texts))
  known = np.unique(np.concatenate(list(map(overlaps.sequences, texts))))
  assert len(known) == len(known_tuples)
  long = [tuples(ids) for ids in sentences if len(ids) >= overlaps.LENGTH]
  assert overlaps.shares(sentences, known) == (
    3,
    pytest.approx(np.mean([bool(x & known_tuples) for x in long])),
    pytest.approx(np.mean([x <= known_tuples for x in long])),
  )


def test_the_table_of_overlaps(tmp_path):
  for folder in ('imdb', 'mr'):
    (tmp_path / folder).mkdir()
  for name in overlaps.FILES:
    pandas.DataFrame({'text': [REVIEW]}).to_parquet(tmp_path / name)
  longer = f'a {REVIEW}'
  (tmp_path / 'mr/rt-polarity.pos').write_text(f'{REVIEW}\nfew words\n')
  (tmp_path / 'mr/rt-polarity.neg').write_text(f'{longer}\n' * 2)
  flags = [f'--data_root={tmp_path}', '--datasets=mr', '--format=csv']
  done = run_command('overlaps', *flags)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[1] == 'mr,train,3,100.0%,33.3%'
  done = run_command('overlaps', *flags[:1], '--datasets=tree')
  assert done.returncode == 2 and 'datasets' in done.stderr
