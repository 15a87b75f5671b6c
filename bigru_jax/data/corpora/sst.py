"""Stanford Sentiment Treebank (Socher et al., 2013)."""

import logging
import pathlib

from bigru_jax.data.open_files import read_lines
from bigru_jax.data.splits import Split, empty_split

_log = logging.getLogger(__name__)

_FILES = {'train': 'train.txt', 'validation': 'dev.txt', 'test': 'test.txt'}
_FIVE_CLASSES = {str(i): str(i) for i in range(5)}
_TWO_CLASSES = {
  '0': 'negative', '1': 'negative', '3': 'positive', '4': 'positive',
}  # fmt: skip


def read(
  data_dir: pathlib.Path, binary: bool, phrases: bool
) -> dict[str, Split]:
  """Reads the labelled trees of train.txt, dev.txt and test.txt.

  Some copies of train.txt end with all of dev.txt; that end is dropped, so that
  validation sentences are never trained on.

  Args:
    data_dir: the folder of the three files.
    binary: whether to read SST-2, without neutral sentences, instead of SST-1
      with its five classes.
    phrases: whether to train on all distinct phrases of the trees.

  Raises:
    ValueError: a line is not a tree.
  """
  names = _TWO_CLASSES if binary else _FIVE_CLASSES
  paths = {part: data_dir / file for part, file in _FILES.items()}
  trees = {part: list(read_lines(p, 'data_dir')) for part, p in paths.items()}
  train, dev = trees['train'], trees['validation']
  if [line for _, line in train[-len(dev) :]] == [line for _, line in dev]:
    _log.warning('train.txt ends with all of dev.txt, which is not trained on')
    trees['train'] = train[: -len(dev)]
  splits = {}
  for part, lines in trees.items():
    splits[part] = split = empty_split(paths[part])
    all_phrases = phrases and part == 'train'
    seen = set()
    for row, line in lines:
      try:
        nodes = parse_tree(line)
      except ValueError as error:
        raise ValueError(
          f'data_dir={paths[part]}, row {row}: {error}'
        ) from error
      for label, text in nodes if all_phrases else nodes[:1]:
        if label not in names or (all_phrases and text in seen):
          continue
        seen.add(text)
        split.add(text, names[label], row)
  return splits


def parse_tree(line: str) -> list[tuple[str, str]]:
  """Parses the labelled phrases of a tree in brackets, first the sentence.

  Example:
    >>> parse_tree('(3 (2 A) (4 (4 fine) (2 film)))')[:2]
    [('3', 'A fine film'), ('2', 'A')]

  Raises:
    ValueError: the brackets do not match.
  """
  labels: list[str] = []
  texts: dict[int, str] = {}
  open_nodes: list[tuple[int, int]] = []
  words: list[str] = []
  tokens = iter(line.replace('(', ' ( ').replace(')', ' ) ').split())
  for token in tokens:
    if token == '(':
      label = next(tokens, '')
      if label not in _FIVE_CLASSES:
        raise ValueError('a bracket without a label 0 to 4')
      open_nodes.append((len(labels), len(words)))
      labels.append(label)
    elif not open_nodes:
      raise ValueError('brackets do not match')
    elif token == ')':
      node, start = open_nodes.pop()
      texts[node] = ' '.join(words[start:])
    else:
      words.append(_unescape(token))
  if open_nodes or not labels:
    raise ValueError('brackets do not match')
  return [(label, texts[node]) for node, label in enumerate(labels)]


def _unescape(token: str) -> str:
  token = token.replace('\\/', '/')
  return {'-LRB-': '(', '-RRB-': ')'}.get(token, token)
