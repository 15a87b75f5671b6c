"""A proxy in front of a server that fails some requests, or refuses them."""

import contextlib
import http.client
import http.server
import random
import threading
import time
import urllib.parse

_HOP_BY_HOP = {'connection', 'expect', 'keep-alive', 'transfer-encoding'}
# What S3 answers to a client without a permission, and one that is too fast.
_ERROR = '<Error><Code>{}</Code><Message>refused</Message></Error>'
_CODES = {403: 'AccessDenied', 503: 'ServiceUnavailable'}


KINDS = 'delay', 'drop', 'lose', 'truncate'


class Faults:
  """What happens to the requests.

  Attributes:
    writes: how many more requests that write are answered; the others are
      refused with `status`.
    numbers: how often each fault has happened.
  """

  def __init__(self, rate=0.0, seed=0, kinds=KINDS, status=403, writes=10**9):
    self._rate, self._rng, self._kinds = rate, random.Random(seed), kinds
    self.status, self.writes = status, writes
    self.numbers = dict.fromkeys(kinds, 0)

  def draw(self):
    """The fault of the next request; '' for none."""
    if self._rng.random() >= self._rate:
      return ''
    kind = self._rng.choice(self._kinds)
    self.numbers[kind] += 1
    return kind


@contextlib.contextmanager
def in_front_of(address, faults):
  """Starts a proxy, and yields its address."""

  class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def _answer(self):
      body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
      faults.writes -= self.command not in ('GET', 'HEAD')
      if faults.writes < 0 and self.command not in ('GET', 'HEAD'):
        content = _ERROR.format(_CODES[faults.status]).encode()
        return self._send(faults.status, {}, content, len(content))
      fault = faults.draw()
      if fault == 'delay':
        time.sleep(0.3)
      self.close_connection = fault in ('drop', 'lose', 'truncate')
      if fault == 'drop':
        return
      status, headers, content = self._forward(body)
      if fault == 'truncate' and content:
        self._send(status, headers, content[: len(content) // 2], len(content))
      elif fault != 'lose':
        self._send(status, headers, content, len(content))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

    def _forward(self, body):
      server = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc)
      with contextlib.closing(server):
        headers = _without_hops(self.headers)
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        return answer.status, _without_hops(answer.headers), answer.read()

    def _send(self, status, headers, content, length):
      self.send_response(status)
      # The answer to HEAD has the length of what it does not have.
      for key, value in {'Content-Length': length, **headers}.items():
        self.send_header(key, str(value))
      self.end_headers()
      self.wfile.write(content)

    def log_message(self, *_):
      pass

  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
    server.handle_error = lambda *_: None  # A client may end a connection.
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
      yield f'http://127.0.0.1:{server.server_port}'
    finally:
      server.shutdown()
      thread.join()


def _without_hops(headers):
  return {k: v for k, v in headers.items() if k.lower() not in _HOP_BY_HOP}
