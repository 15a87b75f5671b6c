"""Words without a vector are looked up in other forms, in a written order."""

import numpy as np
import pytest

from bigru_jax.data import word_forms


def _lookup(word, file):
  """The vector of a word in a file of words, and the kind of its form."""
  vectors = {x: np.float32([i + 1]) for i, x in enumerate(file.split())}
  of_forms, counts = word_forms.lookup([word], vectors)
  return of_forms.get(word), word_forms.describe(counts)


@pytest.mark.parametrize(
  'word, file, expected, kind',
  [
    ('Paris', 'PARIS paris', 2, 'in lower case'),
    ('paris', 'PARIS Paris', 2, 'capitalised'),
    ('nasa', 'NASA', 1, 'in upper case'),
    ("Film's", 'Films film', 2, 'without a possessive ending'),
    ('film\u2019s', 'film', 1, 'without a possessive ending'),
    ("films'", 'film films', 2, 'without a possessive ending'),
    ("films'", 'film', 1, 'without a plural ending'),
    ('villains', 'Villain', 1, 'without a plural ending'),
    ('stories', 'storie story', 2, 'without a plural ending'),
    ('movies', 'movie', 1, 'without a plural ending'),
    ('boxes', 'boxe box', 2, 'without a plural ending'),
    ('gates', 'gate', 1, 'without a plural ending'),
    ('2002', '## ####', 2, 'with # for digits'),
    ('1234567', '## #####', 2, 'with # for digits'),
    ('2002', '00 0000', 2, 'with 0 for digits'),
    ('2,002.5', '<number>', 1, 'with <number> for digits'),
    ('b2b', '## b#b', 2, 'with # for digits'),
    ("don't", "do n't not", 1.5, 'as a contraction'),
    ("Don\u2019t", "do n't", 1.5, 'as a contraction'),
    ("don\u2019t", "do n't don't", 3, 'as a contraction'),
    ("won't", 'wo will not', 2.5, 'as a contraction'),
    ("they'll", "they will 'll", 2, 'as a contraction'),
    ("n't", 'not', 1, 'as a contraction'),
    ("'re", 'are', 1, 'as a contraction'),
    ('punch-drunk', 'punch drunk', 1.5, 'as a word with hyphens'),
    ('em-', 'em', 1, 'as a word with hyphens'),
  ],
)  # fmt: skip
def test_the_first_form_that_the_file_has_is_taken(word, file, expected, kind):
  vector, counts = _lookup(word, file)
  assert vector == [expected]
  assert vector.dtype == np.float32
  assert counts == f'1 {kind}'


@pytest.mark.parametrize(
  'word, file',
  [
    ('his', 'hi'),
    ('this', 'thi'),
    ('boss', 'bos'),
    ('virus', 'viru'),
    ('us', 'u'),
    ('20', '10 ## 00'),  # The file has numbers, only not this one.
    ('2', '#'),  # It has the sign, which is no digit there.
    ('2', '0'),
    ("don't", 'do'),  # It lacks a part.
    ('punch-drunk', 'punch'),
    ('-', 'x'),
    ("'s", 'is'),  # It may be a possessive.
  ],
)
def test_other_words_have_no_form(word, file):
  assert _lookup(word, file) == (None, '')


def test_every_form_is_a_candidate_of_its_word():
  words = ["don't", 'stories', '2002', 'punch-drunk']
  owners = word_forms.candidates(words)
  for word in words:
    for form in word_forms.forms_of(word):
      assert {owners[part] for part in form} <= {word, ''}
      assert form != (word,)
  # `not` belongs to two words, so that neither decides whether it is read.
  assert word_forms.candidates(["don't", "can't"])['not'] == ''
