"""Files that are written completely or not at all."""

import pytest

from bigru_jax.runtime import atomic


def test_a_file_keeps_its_content_if_writing_fails(tmp_path):
  path = tmp_path / 'result.json'
  atomic.write_text(path, 'old')
  with pytest.raises(OSError), atomic.replacing(path) as partial:
    partial.write_text('new, but not all of it')
    raise OSError('the disk is full')
  assert path.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_process_are_replaced(tmp_path):
  (tmp_path / 'entry.partial').mkdir()
  (tmp_path / 'entry.partial' / 'half').touch()
  with atomic.replacing(tmp_path / 'entry') as partial:
    partial.mkdir()
    (partial / 'whole').touch()
  assert [path.name for path in tmp_path.rglob('*')] == ['entry', 'whole']


def test_a_lone_surrogate_is_written(tmp_path):
  atomic.write_text(tmp_path / 'labels.json', '\ud800\r\n')
  content = (tmp_path / 'labels.json').read_bytes()
  assert content.decode('utf-8', 'surrogatepass') == '\ud800\r\n'
