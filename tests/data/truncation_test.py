"""Truncating texts to a number of tokens or sentences."""

from hypothesis import given, strategies as st
import pytest

from bigru_jax.data.truncation import TRUNCATIONS, Limits


@pytest.mark.parametrize(
  'keep, limit, tokens',
  [
    ('head', 3, [0, 1, 2]),
    ('tail', 3, [4, 5, 6]),
    ('both', 3, [0, 1, 6]),
    ('both', 4, [0, 1, 5, 6]),
    ('head', 1, [0]),
    ('tail', 1, [6]),
    ('both', 1, [0]),
  ],
)
def test_keep_chooses_the_part_of_a_long_text(keep, limit, tokens):
  flat = Limits(max_length=limit, keep=keep)
  assert flat.truncate([range(7)]) == (tokens, [limit], True)
  hierarchical = Limits(
    max_length=1, keep=keep, hierarchical=True, max_sentences=limit
  )
  parts = [[i] for i in range(7)]
  assert hierarchical.truncate(parts) == (tokens, [1] * limit, True)


@given(
  parts=st.lists(
    st.lists(st.integers(), min_size=1, max_size=9), min_size=1, max_size=6
  ),
  size=st.integers(1, 4),
  limit=st.integers(1, 30),
  keep=st.sampled_from(list(TRUNCATIONS)),
)
def test_long_sentences_are_split_and_only_the_limit_drops_tokens(
  parts, size, limit, keep
):
  limits = Limits(
    keep=keep,
    hierarchical=True,
    max_sentences=limit,
    max_sentence_length=size,
  )
  kept = limits.truncate(parts)
  sizes = [min(size, len(p) - i) for p in parts for i in range(0, len(p), size)]
  assert kept.truncated == (len(sizes) > limit)
  assert sum(kept.sentences) == len(kept.tokens)
  assert len(kept.sentences) == min(limit, len(sizes))
  if not kept.truncated:
    assert kept.tokens == [token for part in parts for token in part]
    assert kept.sentences == sizes


def test_the_end_of_a_long_text_is_not_tokenized():
  def endless():
    while True:
      yield 0

  assert Limits(max_length=2).truncate([endless()]).tokens == [0, 0]
