"""What training prints in a notebook, in a script and beside a log."""

import logging
import sys
import types

import pytest

from bigru_jax.training.display import Display
from bigru_jax.training.trainer import EpochSummary, Step

_SUMMARY = EpochSummary(
  loss=0.5, nonfinite_steps=0, seconds=1.0, examples=3, tokens=9
)
_STEPS = [
  Step(number=n, epoch=1, batch=n, summary=_SUMMARY if n == 3 else None)
  for n in (1, 2, 3)
]


@pytest.fixture(autouse=True)
def log(monkeypatch):
  """The library's log, which shows nothing, as Python sets it up."""
  log = logging.getLogger('bigru_jax')
  monkeypatch.setattr(log, 'level', logging.WARNING)
  log.manager._clear_cache()
  yield log
  log.manager._clear_cache()


@pytest.fixture
def notebook(monkeypatch):
  """Makes this process look like the kernel of a notebook."""
  shell = types.SimpleNamespace(kernel=None)
  ipython = types.SimpleNamespace(get_ipython=lambda: shell)
  monkeypatch.setitem(sys.modules, 'IPython', ipython)


def _show(verbose):
  """Shows an epoch, and returns its steps."""
  display = Display(verbose)
  display.line('%d texts', 7)
  steps = list(display.bar(_STEPS, 'epoch 1/2', total=3, done=0))
  display.line('epoch %d', 1)
  return steps


@pytest.mark.parametrize('verbose', [None, True])
def test_a_notebook_shows_lines_and_a_bar_in_one_stream(
  verbose, notebook, capsys
):
  assert _show(verbose) == _STEPS
  out, err = capsys.readouterr()
  assert out.startswith('7 texts\n') and 'epoch 1/2:   0%' in out and not err
  # The bar is wiped out before the epoch's line.
  assert out.endswith('\repoch 1\n')


def test_a_script_prints_nothing_unless_it_asks(capsys):
  assert _show(None) == _STEPS
  assert capsys.readouterr() == ('', '')
  _show(True)  # A bar would fill a file with carriage returns.
  assert capsys.readouterr() == ('7 texts\nepoch 1\n', '')


def test_a_terminal_shows_the_bar(capsys, monkeypatch):
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
  _show(None)
  out, err = capsys.readouterr()
  assert 'epoch 1/2:   0%' in err and err.endswith('\r') and not out


def test_a_notebook_is_silent_if_it_asks(notebook, capsys):
  assert _show(False) == _STEPS
  assert capsys.readouterr() == ('', '')


def test_lines_that_the_log_shows_are_not_printed(
  notebook, log, capsys, caplog
):
  caplog.set_level(logging.INFO, log.name)
  _show(True)
  assert caplog.messages == ['7 texts', 'epoch 1']
  assert {record.filename for record in caplog.records} == {'display_test.py'}
  assert 'texts' not in capsys.readouterr().out
