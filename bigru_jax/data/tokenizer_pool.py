"""Encodes texts on all cores while they are read, without a vocabulary.

Ids are in the order of first occurrence; the vocabulary, which is sorted by
frequency, is made at the end. Processes of
`python -m bigru_jax.data.tokenizer_pool` tokenize large amounts of text. They
import neither JAX nor the caller's main module, which the processes of
`multiprocessing` do import.
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

from bigru_jax.data.encode import Ids, encode_ids
from bigru_jax.data.text import OWN_TOKENIZERS
from bigru_jax.data.tokenizer import Tokenizer, VocabularyTokenizer
from bigru_jax.data.truncation import Limits

# The characters that are tokenized before processes are started, in about a
# second; a process takes 0.1 s to start and has to split each word anew.
_PAYS = 2**24
_FIRST_ID = 2  # The first id after those of <pad> and <unk>.


class TokenizerPool:
  """A tokenizer that runs in several processes if there is much text.

  Only the library's own tokenizers do so: a `tokenizer.json` uses all cores by
  itself.
  """

  def __init__(
    self, tokenizer: Tokenizer, limits: Limits, processes: int
  ) -> None:
    self._tokenizer, self._limits = tokenizer, limits
    self._processes = processes if tokenizer.name in OWN_TOKENIZERS else 1
    self._workers: list[_Worker] = []
    self._characters = 0

  def close(self) -> None:
    """Ends the processes."""
    for worker in self._workers:
      worker.close()

  def encode(self, chunks: Iterable[list[str]]) -> Iterator[Ids]:
    """Yields the ids of each chunk of texts, in order."""
    chunks = iter(chunks)
    while self._processes == 1 or self._characters < _PAYS:
      chunk = next(chunks, None)
      if chunk is None:
        return
      self._characters += sum(map(len, chunk))
      yield encode_ids(chunk, self._tokenizer, self._limits)
    assert isinstance(self._tokenizer, VocabularyTokenizer)
    token_ids = self._tokenizer.token_ids
    if not self._workers:
      self._workers = [
        _Worker(self._tokenizer, self._limits) for _ in range(self._processes)
      ]
    free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for worker in self._workers:
      free.put(worker)

    def encode_by_one(chunk: list[str]) -> Ids:
      worker = free.get()
      try:
        return worker.encode(chunk, token_ids)
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
  """A process with its own vocabulary, whose ids are translated."""

  _adding = threading.Lock()

  def __init__(self, tokenizer: VocabularyTokenizer, limits: Limits) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    arguments = (
      tokenizer.name,
      json.dumps(tokenizer.replaces),
      json.dumps(dataclasses.asdict(limits)),
    )
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'bigru_jax.data.tokenizer_pool', *arguments],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      env={**os.environ, 'PYTHONPATH': path},
    )
    self._translation = np.arange(_FIRST_ID, dtype=np.int32)

  def encode(self, texts: list[str], token_ids: dict[str, int]) -> Ids:
    """Returns ids of texts by `token_ids`, to which new tokens are added."""
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
      added = [token_ids[token] for token in json.loads(new)]
    self._translation = np.append(self._translation, np.array(added, np.int32))
    return Ids(
      tokens=self._translation[np.frombuffer(tokens, np.int32)],
      lengths=np.frombuffer(lengths, np.int32),
      truncated=np.frombuffer(truncated, bool),
      sentence_lengths=np.frombuffer(sentence_lengths, np.int32),
      sentences=np.frombuffer(sentences, np.int32),
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


def _serve(name: str, replaces: bool, limits: Limits) -> None:
  """Encodes chunks of texts from standard input until it ends."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides.
  tokenizer = VocabularyTokenizer(name, replaces=replaces)
  num_sent = len(tokenizer.token_ids)
  while True:
    try:
      texts = json.loads(_receive(sys.stdin.buffer))
    except EOFError:
      return
    ids = encode_ids(texts, tokenizer, limits)
    new = list(itertools.islice(tokenizer.token_ids, num_sent, None))
    num_sent = len(tokenizer.token_ids)
    _send(sys.stdout.buffer, json.dumps(new).encode())
    for array in ids:
      _send(sys.stdout.buffer, array.tobytes())


if __name__ == '__main__':
  _serve(
    sys.argv[1], json.loads(sys.argv[2]), Limits(**json.loads(sys.argv[3]))
  )
