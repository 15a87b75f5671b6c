"""Splitting texts into sentences by rules, without losing characters."""

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
    # Other marks: Hindi, Urdu, Arabic, Armenian, Amharic, Burmese, Khmer.
    ['यह अच्छा है।', 'क्यों?', 'बहुत अच्छा॥', '"हाँ।"', 'नहीं'],
    ['धर्मक्षेत्रे कुरुक्षेत्रे ॥१॥', 'मामकाः पाण्डवाश्च ॥२॥'],
    ['یہ اچھا ہے۔', 'کیا یہ اچھا ہے؟', 'ایم۔اے۔', 'ہاں'],
    ['هل هذا جيد؟', 'نعم؛ جيد جدا!', '«لماذا؟»', 'film؟!', 'good'],
    ['Բարև։', 'Ինչպես ես։'],
    ['ሰላም ነው።', 'ደህና ነህ፧', 'አዎ'],
    ['မင်္ဂလာပါ။', 'ဟုတ်တယ်။'],
    ['សួស្តី។', 'ផ្លែឈើ ។ល។'],
    ['What‽', 'Nothing\u203c', 'so it is'],
    # A number of a list belongs to what follows it.
    ['1. First do this.', '2. Then that.', '10. Stop.'],
    ['1.2. Title of it.', 'II. That.', '\u201c3. Now this.\u201d'],
    ['a. First this.', 'A. That.'],
    ['iv. This.', 'X. That.'],
    ['To do: 1. Open it.', '2. Close it.', '(3. Go.)'],
    ['१. पहला।', '२. दूसरा।'],
    ['We need: 1. Milk; 2. Eggs; 3. Bread.', 'No more.'],
    # Other numbers do not.
    ['It was 1999.', 'Then came the war.', '1945.', 'Then peace.'],
    [
      'I am 42.',
      'She is 40.',
      'Rated: 8.',
      'A 7.',
      'Good.',
      'See p. 12.',
      'So.',
    ],
    ['Louis XIV.', 'Then she left in World War II.', 'After it'],
    # Ordinals and dates.
    ['Am 3. Mai begann der 2. Weltkrieg.', 'Im 19. Jahrhundert nicht.'],
    ['Heinrich VIII. war König im XVI. Jahrhundert.', 'Montag, 3. Mai.'],
    ['Der 1. und 2. Platz vom 1. bis 3. Juli, zum 100. Geburtstag.', 'Ja.'],
    ['1. FC Köln.', 'Ende 18. Jahrhundert (die 5. Sinfonie).', 'Es war 1999.'],
    ['Den 17. mai og den 2. verdenskrig.', 'V 2. století.', 'Ja'],
    ['Born on 3. 5. 2020 in Prague, or 3. 5.2020.', 'No, 12.', '30 of them.'],
    # An accent after its letter.
    ['E\u0301. Zola wrote it.', 'He did.'],
  ],
)
def test_the_rules_end_sentences(sentences):
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
def test_splitting_loses_only_white_space(text):
  sentences = split_sentences(text)
  assert ''.join(''.join(sentences).split()) == ''.join(text.split())
  assert all(x.strip() == x for x in sentences)
  assert all(sentences) or sentences == ['']


_PIECES = [
  '.', '." ', '. ', ' ', '<br', '<br> ', "''", '1. A', '1.2.', '\u061f', ' 1. ',
  '.\u0964"', '\u0964 ', 'der 2. A', '3. 5. ', 'am ', '.\u06d4b', '\u0964"',
]  # fmt: skip


@pytest.mark.parametrize('piece', _PIECES)
def test_the_time_is_linear_in_the_text(piece):
  text = (
    f'a{piece * (300_000 // len(piece))}b'  # Minutes, if it were quadratic.
  )
  kept = ''.join(split_sentences(text))
  assert ''.join(kept.split()) == ''.join(text.split())
