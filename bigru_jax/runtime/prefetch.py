"""Runs an iterator ahead of its consumer."""

from collections.abc import Generator, Iterable
import queue
import threading
from typing import TypeVar

from bigru_jax.runtime.precision import single_precision

_T = TypeVar('_T')


def prefetch(items: Iterable[_T], size: int = 4) -> Generator[_T]:
  """Runs an iterator on a thread, up to `size` items ahead.

  An exception of the iterator is raised here. If the generator is closed early,
  it waits for the thread, since a thread that is inside JAX when Python exits
  would abort the process.
  """
  buffer: queue.Queue = queue.Queue(size)
  closed = threading.Event()
  done = object()

  def put(item):
    while not closed.is_set():
      try:
        return buffer.put(item, timeout=0.1)
      except queue.Full:
        continue

  def work():
    try:
      with single_precision():  # This thread does not inherit it.
        for item in items:
          if closed.is_set():
            return
          put((item, None))
      put((done, None))
    except BaseException as error:  # It belongs to the consumer.
      put((done, error))

  thread = threading.Thread(target=work, daemon=True)
  thread.start()
  try:
    while True:
      item, error = buffer.get()
      if error is not None:
        raise error
      if item is done:
        return
      yield item
  finally:
    closed.set()
    thread.join()
