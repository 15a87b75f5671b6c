"""Files for TensorBoard, against the bytes that tensorboardX writes."""

from unittest import mock

from bigru_jax.rundir.event_file import EventFile

# Of tensorboardX 2.6.5 at 1.5 s: the version of the format, the start at step
# 300, the text, the number.
RECORDS = """
1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c
100000000000000095fbfe1809000000000000f83f10ac023a020801713b788a
3e00000000000000d9d240e709000000000000f83f2a330a310a11646174612f746578745f73756d
6d6172794212080712041202080142086772c3b6c39f65724a080a060a0474657874ea9e247b
2100000000000000017becf609000000000000f83f10ac022a130a110a0a747261696e2f6c6f7373
150000803e6557981f
"""


def test_the_bytes_are_those_of_tensorboardx(tmp_path):
  with mock.patch('time.time', return_value=1.5):
    events = EventFile(tmp_path, 300)
    events.add_text('data', 'größer')
    events.add_scalars(300, {'train/loss': 0.25})
  (path,) = tmp_path.iterdir()
  assert path.name.startswith('events.out.tfevents.1.500000.')
  assert path.read_bytes() == bytes.fromhex(RECORDS)
