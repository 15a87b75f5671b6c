"""Texts to ids as they are read, before the vocabulary is known.

Ids are given in the order of first occurrence; the vocabulary, which is by
frequency, comes after all is read. Much text is tokenized on all cores, by
processes of `python -m bigru_jax.data.lexicon`: they import neither JAX nor the
caller's main module, as those of `multiprocessing` would.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
import concurrent.futures
import dataclasses
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import IO

import numpy as np

from bigru_jax.data.text import OWN_TOKENIZERS, TOKENIZERS, UNK, Memo
from bigru_jax.data.truncation import Limits, TruncatedText

# Characters tokenized here before processes are started. This many take about a
# second; a process takes 0.1 s to start, and splits every word once more.
_PAYS = 2**24


@dataclasses.dataclass(frozen=True)
class Ids:
  """The ids of texts, one after another, each truncated.

  Attributes:
    tokens: int32, the ids of all texts.
    lengths: int32, ids of each text.
    truncated: bool, whether a text lost tokens.
    sentence_lengths: int32, ids of each sentence of all texts.
    sentences: int32, sentences of each text; both arrays are empty where texts
      are not split into sentences.
  """

  tokens: np.ndarray
  lengths: np.ndarray
  truncated: np.ndarray
  sentence_lengths: np.ndarray
  sentences: np.ndarray


def collect(kept: Iterable[TruncatedText[int]], hierarchical: bool) -> Ids:
  """The ids of texts as arrays."""
  ids, lengths, truncated = list[int](), list[int](), list[bool]()
  sentence_lengths, sentences = list[int](), list[int]()
  for of_text in kept:
    ids += of_text.tokens
    lengths.append(len(of_text.tokens))
    truncated.append(of_text.truncated)
    if hierarchical:
      sentence_lengths += of_text.sentences
      sentences.append(len(of_text.sentences))
  return Ids(
    np.array(ids, np.int32),
    np.array(lengths, np.int32),
    np.array(truncated, bool),
    np.array(sentence_lengths, np.int32),
    np.array(sentences, np.int32),
  )


class Lexicon:
  """Every token met so far, in the order of first occurrence.

  Attributes:
    ids: by token; <unk>, which an empty text is, comes first.
  """

  def __init__(self, name: str, limits: Limits) -> None:
    """Args: a name of `TOKENIZERS`, and what of a text is kept."""
    self.ids: dict[str, int] = {UNK: 0}
    self._limits = limits
    self._pieces, self._tokens = (
      TOKENIZERS[name].pieces,
      TOKENIZERS[name].tokens,
    )
    self._memo = Memo(self._ids_of_piece)

  def encode(self, texts: list[str]) -> Ids:
    """The ids of texts; new tokens are added."""
    limits = self._limits
    kept = (limits.truncate(map(self._encode, limits.parts(x))) for x in texts)
    return collect(kept, limits.hierarchical)

  def add(self, tokens: Iterable[str]) -> np.ndarray:
    """The ids of tokens, int32; those not met before are added."""
    ids = self.ids
    return np.array([ids.setdefault(t, len(ids)) for t in tokens], np.int32)

  def _encode(self, text: str) -> Iterator[int]:
    pieces = self._pieces(text)
    # A piece between white space has a token, of `words` or any other.
    ids = itertools.chain.from_iterable(map(self._memo.__getitem__, pieces))
    return ids if pieces else iter([0])

  def _ids_of_piece(self, piece: str) -> tuple[int, ...]:
    ids = self.ids
    return tuple(ids.setdefault(t, len(ids)) for t in self._tokens(piece))


class Pool:
  """A lexicon that grows by several processes once there is much text."""

  def __init__(self, name: str, limits: Limits, processes: int) -> None:
    self.lexicon = Lexicon(name, limits)
    self._arguments = [name, json.dumps(dataclasses.asdict(limits))]
    self._processes = processes if name in OWN_TOKENIZERS else 1
    self._workers: list[_Worker] = []
    self._characters = 0

  def close(self) -> None:
    """Ends the processes."""
    for worker in self._workers:
      worker.close()

  def encode(self, chunks: Iterable[list[str]]) -> Iterator[Ids]:
    """The ids of each chunk of texts, in order."""
    chunks = iter(chunks)
    while self._processes == 1 or self._characters < _PAYS:
      chunk = next(chunks, None)
      if chunk is None:
        return
      self._characters += sum(map(len, chunk))
      yield self.lexicon.encode(chunk)
    if not self._workers:
      self._workers = [_Worker(self._arguments) for _ in range(self._processes)]
    free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for worker in self._workers:
      free.put(worker)

    def encode_by_one(chunk: list[str]) -> Ids:
      worker = free.get()
      try:
        return worker.encode(chunk, self.lexicon)
      finally:
        free.put(worker)

    with concurrent.futures.ThreadPoolExecutor(self._processes) as threads:
      pending: collections.deque = collections.deque()
      for chunk in chunks:
        pending.append(threads.submit(encode_by_one, chunk))
        if len(pending) > 2 * self._processes:
          yield pending.popleft().result()
      while pending:
        yield pending.popleft().result()


class _Worker:
  """A process with a lexicon of its own, whose ids are translated."""

  _adding = threading.Lock()

  def __init__(self, arguments: list[str]) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'bigru_jax.data.lexicon', *arguments],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      env={**os.environ, 'PYTHONPATH': path},
    )
    self._translation = np.zeros(1, np.int32)

  def encode(self, texts: list[str], lexicon: Lexicon) -> Ids:
    """The ids of texts in the lexicon, to which new tokens are added."""
    assert self._process.stdin and self._process.stdout
    try:
      _send(self._process.stdin, json.dumps(texts).encode())
      new, tokens, lengths, truncated, sentence_lengths, sentences = (
        _receive(self._process.stdout) for _ in range(6)
      )
    except (EOFError, OSError):
      status = self._process.wait()
      raise OSError(
        f'a tokenizing process ended with status {status}; is memory short?'
      ) from None
    with self._adding:
      added = lexicon.add(json.loads(new))
    self._translation = np.concatenate([self._translation, added])
    return Ids(
      self._translation[np.frombuffer(tokens, np.int32)],
      np.frombuffer(lengths, np.int32),
      np.frombuffer(truncated, bool),
      np.frombuffer(sentence_lengths, np.int32),
      np.frombuffer(sentences, np.int32),
    )

  def close(self) -> None:
    """Ends the process."""
    self._process.kill()
    self._process.communicate()


def _send(file: IO[bytes], data: bytes) -> None:
  file.write(len(data).to_bytes(8, 'little'))
  file.write(data)
  file.flush()


def _receive(file: IO[bytes]) -> bytes:
  size = file.read(8)
  if len(size) < 8:
    raise EOFError
  data = file.read(count := int.from_bytes(size, 'little'))
  if len(data) < count:
    raise EOFError
  return data


def _serve(name: str, limits: Limits) -> None:
  """Answers chunks of texts on standard input until it ends."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides.
  lexicon, known = Lexicon(name, limits), 1
  while True:
    try:
      texts = json.loads(_receive(sys.stdin.buffer))
    except EOFError:
      return
    ids = lexicon.encode(texts)
    new = list(itertools.islice(lexicon.ids, known, None))
    known = len(lexicon.ids)
    _send(sys.stdout.buffer, json.dumps(new).encode())
    for field in dataclasses.fields(ids):
      _send(sys.stdout.buffer, getattr(ids, field.name).tobytes())


if __name__ == '__main__':
  _serve(sys.argv[1], Limits(**json.loads(sys.argv[2])))
