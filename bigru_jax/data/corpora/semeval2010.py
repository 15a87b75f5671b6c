"""SemEval-2010 Task 8: the relation between two entities of a sentence."""

import pathlib
import re

from bigru_jax.data.open_files import open_lines
from bigru_jax.data.splits import Split, empty_split
from bigru_jax.data.text import MARKERS, space_markers

_FILES = {'train': 'TRAIN_FILE.TXT', 'test': 'TEST_FILE_FULL.TXT'}
_SENTENCE = re.compile(r'\d+\t"(.*<e1>.+</e1>.*<e2>.+</e2>.*)"')
_RELATION = re.compile(r'Other|[\w-]+\((e1,e2|e2,e1)\)')
_LINES = 4  # The number of lines of an example.


def read(data_dir: pathlib.Path) -> dict[str, Split]:
  """Reads the sentences of TRAIN_FILE.TXT and TEST_FILE_FULL.TXT.

  The label is the relation with its direction, or `Other`. The markers of the
  entities stay in the text, with white space around them. Hendrickx et al.,
  2010, https://aclanthology.org/S10-1006.

  Raises:
    FileNotFoundError, ValueError: a file is missing, or an example is not a
      sentence, a relation, a comment and an empty line; the message names the
      row.
  """
  paths = {part: data_dir / file for part, file in _FILES.items()}
  return {part: _read_file(path) for part, path in paths.items()}


def _read_file(path: pathlib.Path) -> Split:
  where = f'data_dir={path}'
  split = empty_split(where)
  with open_lines(path, 'data_dir') as file:
    lines = [line.strip() for line in file]
  lines += [''] * (-len(lines) % _LINES)  # The last empty line may be missing.
  for row in range(1, len(lines) + 1, _LINES):
    sentence, relation, comment, end = lines[row - 1 : row - 1 + _LINES]
    match = _SENTENCE.fullmatch(sentence)
    if not match or any(sentence.count(marker) > 1 for marker in MARKERS):
      raise ValueError(
        f'{where}, row {row}: not a number, a tab and a quoted sentence with '
        'one <e1>..</e1> and one <e2>..</e2>'
      )
    if not _RELATION.fullmatch(relation):
      raise ValueError(
        f'{where}, row {row + 1}: not a relation: {relation!r:.60}'
      )
    if not comment.startswith('Comment:') or end:
      raise ValueError(
        f'{where}, row {row + 2}: not a comment and an empty line'
      )
    split.add(space_markers(match[1]), relation, row)
  return split
