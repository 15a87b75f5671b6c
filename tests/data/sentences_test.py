"""Sentences by rules: what ends one, and that no character is lost."""

from hypothesis import given, strategies as st
import pytest

from bigru_jax.data.sentences import split_sentences


@pytest.mark.parametrize(
  'sentences',
  [
    ['It is long.', 'Too long!', 'Why?', 'Because...', 'Well?!', '3 hours.'],
    # Closing and opening quotes and brackets.
    ['"It is bad."', "('So it is.')", '\u201cNo!\u201d', '(She left.)'],
    # Not before a lower-case letter.
    ['He said "no." and left, i. e. slept'],
    ['It cost 3.50 and was v1.2.3 of example.com'],
    # Abbreviations and initials.
    [
      'Mr. Lee met Dr. A. B. Smith Jr. in the U.S. Senate.',
      'Prof. X was late.',
    ],
    ['Cats vs. Dogs, e.g. Tom, i.e. The cat, etc. (St. John, Inc. 5).'],
    ['It is No. 5 on p. 7.', 'Is it?', 'No.', 'It is pp.', 'Yes.'],
    # A word that only ends like one.
    ["I don't.", 'You admr.', 'Then he died.'],
    # Tokenised text, in lower case.
    ['a good film .', 'but ( . . . )', "bad ! ''", 'really ... ?', 'no'],
    # Scripts without case, and without spaces.
    ['\u597d\u3002', '\u574f\uff01\uff1f\u300d', '\u4ed6'],
    ['\ud588\ub2e4.', '\uadf8\ub294'],
    ['\u0645\u0631\u062d\u0628\u0627.', '\u0646\u0639\u0645'],
  ],
)
def test_what_ends_a_sentence(sentences):
  between = '' if '\u3002' in sentences[0] else '  '
  assert split_sentences(between.join(sentences)) == sentences


def test_line_breaks_end_sentences_and_blank_ones_are_dropped():
  text = ' one\ntwo\r\n\n \nthree<br /><br>four <BR/>\u2028 five '
  assert split_sentences(text) == [
    'one', 'two', 'three<br /><br>', 'four <BR/>', 'five',
  ]  # fmt: skip
  assert split_sentences('') == split_sentences(' \n ') == ['']


@given(
  st.lists(
    st.sampled_from(
      ['.', '!', '\u3002', ' ', '\n', '"', '<br>', 'Mr', 'A', 'b']
    )
    | st.text(max_size=5)
  ).map(''.join)
)
def test_only_white_space_is_lost(text):
  sentences = split_sentences(text)
  assert ''.join(''.join(sentences).split()) == ''.join(text.split())
  assert all(x.strip() == x for x in sentences)
  assert all(sentences) or sentences == ['']


@pytest.mark.parametrize('piece', ['.', '." ', '. ', ' ', '<br', '<br> ', "''"])
def test_the_time_is_linear_in_the_text(piece):
  text = f'a{piece * 300_000}b'  # Minutes, if it were quadratic.
  kept = ''.join(split_sentences(text))
  assert ''.join(kept.split()) == ''.join(text.split())
