"""Exports a trained run for programs that have no bigru_jax, or to share it.

  python experiments/export.py --workdir=RUN --format=onnx --output=model.onnx
  python experiments/export.py --workdir=RUN --format=stablehlo --output=m.hlo
  python experiments/export.py --workdir=RUN --format=safetensors --output=DIR

Beside model.onnx it writes model.json (and m.json beside m.hlo): the labels,
the vocabulary, the rules of the tokenizer. docs/serving.md has a program for
each format.
"""

import json
import os
import pathlib

from absl import flags
import command

import bigru_jax
from bigru_jax.runtime import host

_WORKDIR = flags.DEFINE_string('workdir', '', 'The run directory.')
_FORMAT = flags.DEFINE_enum(
  'format',
  'onnx',
  ['onnx', 'stablehlo', 'safetensors'],
  'onnx for ONNX Runtime, stablehlo for JAX and flatbuffers, safetensors for '
  'a folder with a model card, which bigru_jax.load opens.',
)
_OUTPUT = flags.DEFINE_string(
  'output', '', 'A file, or of safetensors a folder.'
)
_LICENSE = flags.DEFINE_string(
  'license', 'unknown', "The model card's, such as apache-2.0."
)


def write(output: pathlib.Path, content: bytes) -> None:
  """Writes a file, completely or not at all."""
  partial = output.with_name(f'{output.name}.partial')
  partial.write_bytes(content)
  os.replace(partial, output)


def serialized(run: bigru_jax.Run) -> bytes:
  """The run's model in the format, a single file.

  Raises:
    ValueError: a package is not installed.
  """
  try:
    if _FORMAT.value == 'stablehlo':
      from bigru_jax.interop.stablehlo import to_stablehlo

      return bytes(to_stablehlo(run).serialize())
    from bigru_jax.interop.onnx import to_onnx

    return to_onnx(run).SerializeToString()
  except ImportError as error:
    raise ValueError(
      f'format={_FORMAT.value} needs more packages: '
      f'pip install "bigru_jax[export]" ({error})'
    ) from error


def main() -> None:
  for flag in (_WORKDIR, _OUTPUT):
    if not flag.value:
      raise ValueError(f'{flag.name}: name one')
  if _FORMAT.value != 'safetensors':
    command.refuse_flags('format=safetensors, which has a card', 'license')
  output = pathlib.Path(_OUTPUT.value).expanduser()
  beside = output.with_suffix('.json')
  if beside == output:
    raise ValueError(f'output={output}: that is the name of its description')
  host.configure_cpu()
  host.cache_compilations()
  run = bigru_jax.load(_WORKDIR.value)
  if _FORMAT.value == 'safetensors':
    from bigru_jax.interop import safetensors

    safetensors.save(run, output, _LICENSE.value)
    return
  from bigru_jax.interop.description import describe

  write(output, serialized(run))
  write(beside, json.dumps(describe(run)).encode())


if __name__ == '__main__':
  command.run(main)
