"""What training shows while it runs: lines, and a bar for each epoch."""

from __future__ import annotations

from collections.abc import Generator, Iterable
import logging
import sys
from typing import Any

from tqdm import tqdm

from bigru_jax.runtime import distributed
from bigru_jax.training.trainer import Step

_log = logging.getLogger(__name__)


class Display:
  """Logs lines, prints them where nobody sees the log, and draws bars.

  In a notebook, both go to the output of the cell. On a terminal, the bars go
  to stderr. Of several processes, only the main one shows anything.
  """

  def __init__(self, verbose: bool | None = None) -> None:
    """Decides what is shown, and where.

    Args:
      verbose: whether lines are printed and bars drawn. By default, a notebook
        shows both, and a terminal only the bars.
    """
    in_notebook = _in_notebook()
    if not distributed.is_main():
      verbose = False
    self._prints = in_notebook if verbose is None else verbose
    self._bar_options: dict[str, Any] = {
      'file': sys.stdout if in_notebook else sys.stderr,
      # With None, a bar is drawn on a terminal only.
      'disable': verbose is False or (False if in_notebook else None),
    }

  def line(self, message: str, *values: Any) -> None:
    """Logs a line, and prints it unless the log shows it.

    Args:
      message, values: see `logging.Logger.info`.
    """
    _log.info(message, *values, stacklevel=2)
    is_in_log = _log.isEnabledFor(logging.INFO) and _log.hasHandlers()
    if self._prints and not is_in_log:
      print(message % values, flush=True)

  def bar(
    self, steps: Iterable[Step], description: str, total: int, done: int
  ) -> Generator[Step]:
    """Yields the steps of an epoch while a bar shows how many are done.

    The bar disappears with the epoch's last step, which validation follows.

    Args:
      steps: the remaining steps.
      description: the text before the bar.
      total: the number of steps of the whole epoch.
      done: the number of steps that an earlier process has done.
    """
    with tqdm(
      desc=description,
      total=total,
      initial=done,
      unit='batch',
      leave=False,
      **self._bar_options,
    ) as bar:
      for step in steps:
        bar.update()
        if step.summary:
          bar.close()
        yield step


def _in_notebook() -> bool:
  """Returns whether this process is the kernel of a notebook."""
  ipython = sys.modules.get('IPython')
  shell = ipython.get_ipython() if ipython else None
  return hasattr(shell, 'kernel')
