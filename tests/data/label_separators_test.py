"""Guessing the separator of labels from their names."""

import itertools

import pytest

from bigru_jax.config import Config
from bigru_jax.data.label_separators import likely_separator
from bigru_jax.data.prepare import prepare

SETS = [('a', 'c'), (), ('b',), ('a',), ('b', 'c'), ('a', 'b', 'c')] * 3


TEXTS = [f'text {i}' for i in range(len(SETS))]


@pytest.mark.parametrize(
  'separator',
  [
    *',;/\t &+:-_.#@•·\n、，；،',
    '::',
    '__',
    ' & ',
    ' and ',
    ' und ',
    ' - ',
    ', ',
  ],
)
def test_a_likely_separator_is_named(separator):
  joined = [separator.join(x) for x in [*SETS[:-1], ('c', 'a')]]
  corpus = {'train': (TEXTS, joined)}
  notes = prepare(Config(task='multi_label'), corpus).notes
  wanted = f'did you mean label_separator={separator!r}'
  assert any(wanted in note for note in notes)
  right = Config(task='multi_label', label_separator=separator)
  assert not any('warning' in note for note in prepare(right, corpus).notes)


@pytest.mark.parametrize(
  'names',
  [
    ['Cause-Effect(e1,e2)', 'Cause-Effect(e2,e1)', 'Member(e1,e2)',
     'Member(e2,e1)', 'Content(e1,e2)', 'Content(e2,e1)', 'Other'],
    ['sports', 'sports/football', 'sports/tennis', 'arts', 'arts/film'],
    ['red car', 'blue car', 'red bike', 'blue bike', 'red van', 'blue van'],
    ['not good', 'not bad', 'very good', 'very bad', 'good', 'bad'],
    ['comp.graphics', 'comp.os.ms-windows.misc', 'comp.sys.mac.hardware',
     'misc.forsale', 'rec.autos', 'rec.sport.hockey', 'sci.med', 'sci.space',
     'talk.politics.guns', 'talk.politics.misc', 'talk.religion.misc'],
    ['U.S. politics', 'U.K. politics', 'U.S. sports', 'U.K. sports'],
    ['sci-fi', 'non-fiction', 'lo-fi', 'hi-fi', 'sci-art'],
    ['alt_rock', 'hard_rock', 'rock', 'pop', 'alt_pop', 'hard_pop'],
    ['1.1', '1.2', '2.1', '2.2', '3.1', '3.2', '3.3'],
    ['rock and roll', 'rock and pop', 'drum and bass', 'bass and roll'],
    ['हिन्दी', 'हिन्द', 'दीन', 'नदी', 'दिन'],
    ['New York, NY', 'Buffalo, NY', 'Boston, MA', 'Salem, MA', 'Lowell, MA'],
  ],
)  # fmt: skip
def test_names_that_contain_a_separator_are_not_split(names):
  assert likely_separator(names, '|') == ''


def _joined(names, separator):
  pairs = itertools.permutations(names, 2)
  return [*names, *(separator.join(pair) for pair in pairs)]


@pytest.mark.parametrize('separator', [', ', ' & ', ' and ', ' - ', '::', '、'])
@pytest.mark.parametrize(
  'names',
  [
    ['sci-fi', 'non-fiction', 'co-op', 'lo-fi'],
    ['rec.autos', 'comp.sys.mac', 'comp.graphics', 'sci.med'],
    ['U.S. politics', 'U.K. politics', 'world news', 'local news'],
    ['Cause-Effect(e1,e2)', 'Cause-Effect(e2,e1)', 'Member(e1,e2)', 'Other'],
    ['rock and roll', 'drum and bass', 'rhythm and blues', 'soul'],
  ],
)
def test_names_with_other_characters_are_not_split(names, separator):
  assert likely_separator(_joined(names, separator), '|') == separator


def test_a_separator_with_optional_blanks_is_named():
  names = ['a,b', 'b,c', 'c,a', 'a, c', 'b, a', 'c, b']
  assert likely_separator(names, '|') == ','
  sorted_names = ['a', 'b', 'c', 'a; b', 'a; c', 'b; c', 'a; b; c']
  assert likely_separator(sorted_names, '|') == '; '
