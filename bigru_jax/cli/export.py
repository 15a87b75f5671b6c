"""Exports a trained run for other programs, or to share it.

  bigru export --workdir=RUN --format=onnx --output=model.onnx
  bigru export --workdir=RUN --format=stablehlo --output=m.hlo
  bigru export --workdir=RUN --format=safetensors --output=DIR

Next to model.onnx it writes a description, model.json (m.json for m.hlo): the
labels, the vocabulary, the rules of the tokenizer, and the name of the model's
file. An existing model.json is overwritten only if it describes that file.
docs/serving.md has a program for each format.
"""

import contextlib
import json
import logging
import pathlib
from typing import Any

import bigru_jax
from bigru_jax.cli import outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.runtime import host
from bigru_jax.runtime.atomic import replacing

_log = logging.getLogger('bigru_jax.export')
# The formats that extensions imply.
_FORMATS = {
  '.onnx': 'onnx',
  '.hlo': 'stablehlo',
  '.stablehlo': 'stablehlo',
  '.safetensors': 'safetensors',
}
FLAGS = Flags()
_WORKDIR = FLAGS.string('workdir', 'The run directory.')
_FORMAT = FLAGS.enum(
  'format',
  'onnx for ONNX Runtime; stablehlo for JAX; safetensors for a folder with a '
  'model card, which bigru_jax.load opens.',
  ['onnx', 'stablehlo', 'safetensors'],
  'onnx',
)
_OUTPUT = FLAGS.path(
  'output', 'The output file, or for safetensors the folder.'
)
_LICENSE = FLAGS.string(
  'license',
  'The license that the model card names, such as apache-2.0.',
  'unknown',
)


def check_description(description: pathlib.Path, output: pathlib.Path) -> None:
  """Refuses to overwrite a file that is not the description of the model.

  Raises:
    ValueError: the file exists and does not name the model's file.
  """
  if not description.exists():
    return
  content: Any = None
  with contextlib.suppress(ValueError, RecursionError):
    content = json.loads(description.read_bytes())
  if not isinstance(content, dict) or content.get('file') != output.name:
    raise ValueError(
      f'output={output}: {description} already exists, and is not the '
      f'description of {output.name}; name another output, or remove it'
    )


def serialized(run: bigru_jax.Run) -> bytes:
  """Returns the run's model as a single file in the format.

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
  """Writes the model in its format."""
  FLAGS.require('workdir', 'output')
  if _FORMAT.value != 'safetensors':
    FLAGS.refuse('format=safetensors, which has a card', 'license')
  output = pathlib.Path(_OUTPUT.value)
  named_format = _FORMATS.get(output.suffix.lower(), _FORMAT.value)
  if _FORMAT.value != 'safetensors' and _OUTPUT.value.endswith('/'):
    named_format = 'safetensors'
  if named_format != _FORMAT.value:
    raise ValueError(
      f'output={_OUTPUT.value} implies format={named_format}, not '
      f'format={_FORMAT.value}'
    )
  if _FORMAT.value != 'safetensors':
    outputs.check_output(str(output))
    description = output.with_suffix('.json')
    if description == output:
      raise ValueError(
        f'output={output}: the description of the model takes this name'
      )
    check_description(description, output)
  host.configure_cpu()
  host.cache_compilations()
  run = bigru_jax.load(_WORKDIR.value)
  if _FORMAT.value == 'safetensors':
    from bigru_jax.interop import safetensors

    safetensors.save(run, output, _LICENSE.value)
    print(f'{output}: the model, its card and its files')
    return
  from bigru_jax.interop.description import describe

  about = json.dumps({'file': output.name, **describe(run)})
  replaces = output.exists()
  # Both files are written, or neither.
  with replacing(output) as model_path, replacing(description) as about_path:
    model_path.write_bytes(serialized(run))
    about_path.write_text(about, encoding='utf-8')
  if replaces:
    _log.warning('output=%s: the previous model was replaced', output)
  print(
    f'{output}: the model\n{description}: its labels, thresholds and vocabulary'
  )
