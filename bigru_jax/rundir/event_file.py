"""Metrics for TensorBoard, in files of its own format.

A file is a sequence of records: eight bytes of length, their checksum, a
protocol buffer `Event`, its checksum. Few of its fields are needed, so they
are written here; tensorboardX would import PyTorch wherever it is installed.

https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto
"""

from collections.abc import Mapping
import pathlib
import socket
import struct
import time

_CRC32C = 0x82F63B78  # The polynomial of Castagnoli, the lowest bit first.
_STRING_TYPE = 7  # DT_STRING of TensorFlow.
_START = 1  # SessionLog.START


class EventFile:
  """A new file of events in a directory.

  Args:
    folder: the directory.
    step: what earlier files say of this step and later ones is outdated.
  """

  def __init__(self, folder: pathlib.Path, step: int) -> None:
    name = f'events.out.tfevents.{time.time():.6f}.{socket.gethostname()}'
    self._path = folder / name
    self._write(0, _field(3, 'brain.Event:2'))
    self._write(step, _field(7, _field(1, _START)))

  def add_text(self, tag: str, text: str) -> None:
    """Adds a text, which TensorBoard shows under its tag."""
    shape = _field(2, _field(1, 1))  # A dimension of size 1.
    tensor = _field(1, _STRING_TYPE) + _field(2, shape) + _field(8, text)
    plugin = _field(1, _field(1, 'text'))
    value = _field(1, f'{tag}/text_summary') + _field(8, tensor)
    self._write(0, _field(5, _field(1, value + _field(9, plugin))))

  def add_scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Adds numbers by their tags, those of a step."""
    summary = b''.join(
      _field(1, _field(1, tag) + _field(2, value))
      for tag, value in values.items()
    )
    self._write(step, _field(5, summary))

  def _write(self, step: int, content: bytes) -> None:
    """Appends an event of this moment."""
    seconds = b'\x09' + struct.pack('<d', time.time())
    event = seconds + (_field(2, step) if step else b'') + content
    length = struct.pack('<Q', len(event))
    with self._path.open('ab') as file:
      file.write(length + _checksum(length) + event + _checksum(event))


def _field(number: int, value: int | float | str | bytes) -> bytes:
  """A field of a protocol buffer: an integer, a float32, a text, a message."""
  if isinstance(value, int):
    return _varint(number << 3) + _varint(value)
  if isinstance(value, float):
    return _varint(number << 3 | 5) + struct.pack('<f', value)
  content = value.encode() if isinstance(value, str) else value
  return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
  """An integer of at least 0, seven bits a byte, the lowest first."""
  encoded = bytearray()
  while value > 127:
    encoded.append(value & 127 | 128)
    value >>= 7
  return bytes([*encoded, value])


def _checksum(content: bytes) -> bytes:
  """The masked CRC-32C of a part of a record."""
  crc = 0xFFFFFFFF
  for byte in content:
    crc ^= byte
    for _ in range(8):
      crc = crc >> 1 ^ (_CRC32C if crc & 1 else 0)
  crc ^= 0xFFFFFFFF
  rotated = (crc >> 15 | crc << 17) + 0xA282EAD8
  return struct.pack('<I', rotated & 0xFFFFFFFF)
