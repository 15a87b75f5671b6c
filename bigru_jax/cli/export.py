"""Exports a trained run for other programs, or to share it.

  bigru export --workdir=RUN --format=onnx --output=model.onnx
  bigru export --workdir=RUN --format=stablehlo --output=m.hlo
  bigru export --workdir=RUN --format=safetensors --output=DIR
  bigru export --workdir=RUN --format=vectors --output=words.vec

Next to model.onnx it writes a description, model.onnx.json: the labels, the
vocabulary, the rules of the tokenizer, the data, and the version of bigru_jax.
What exists is replaced only with --overwrite. docs/serving.md has a program for
each format.
"""

import json
import pathlib

import bigru_jax
from bigru_jax.cli import outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.rundir import files as run_files, published
from bigru_jax.runtime import host
from bigru_jax.runtime.atomic import replacing

# The formats that extensions imply.
_FORMATS = {
  '.onnx': 'onnx',
  '.hlo': 'stablehlo',
  '.stablehlo': 'stablehlo',
  '.safetensors': 'safetensors',
  '.vec': 'vectors',
}
FLAGS = Flags()
_WORKDIR = FLAGS.string('workdir', 'The run directory.')
_FORMAT = FLAGS.enum(
  'format',
  'onnx for ONNX Runtime; stablehlo for JAX; safetensors for a folder with a '
  'model card, which bigru_jax.load opens; vectors for the vectors of words in '
  "word2vec's format, as text or in a file named .bin.",
  ['onnx', 'stablehlo', 'safetensors', 'vectors'],
  'onnx',
)
_OUTPUT = FLAGS.path(
  'output', 'The output file, or for safetensors the folder.'
)
_OVERWRITE = FLAGS.boolean(
  'overwrite',
  'Replace what exists: the file and its description, or the model.',
)
_LICENSE = FLAGS.string(
  'license',
  'The license that the model card names, such as apache-2.0.',
  'unknown',
)


def check_new(*paths: pathlib.Path) -> None:
  """Refuses to replace a file unless --overwrite is given.

  Raises:
    ValueError: a file exists.
  """
  existing = [str(path) for path in paths if path.exists()]
  if existing and not _OVERWRITE.value:
    raise ValueError(
      f'output={_OUTPUT.value} would replace {" and ".join(existing)}; name '
      'another output, or give --overwrite'
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


def check_output(output: pathlib.Path) -> None:
  """Refuses an output of another format, or one that cannot be written.

  Raises:
    ValueError: there is such an output.
  """
  is_folder = _FORMAT.value == 'safetensors'
  named_format = _FORMATS.get(output.suffix.lower(), _FORMAT.value)
  if not is_folder and _OUTPUT.value.endswith('/'):
    named_format = 'safetensors'
  if named_format != _FORMAT.value:
    raise ValueError(
      f'output={_OUTPUT.value} implies format={named_format}, not '
      f'format={_FORMAT.value}'
    )
  if not is_folder:
    outputs.check_output(str(output))
    is_alone = _FORMAT.value == 'vectors'
    check_new(output, *() if is_alone else (description_of(output),))


def description_of(output: pathlib.Path) -> pathlib.Path:
  """Returns the path of the description of a model."""
  return output.with_name(f'{output.name}.json')


def publish(folder: pathlib.Path) -> None:
  """Writes the folder of a classifier or of a language model."""
  from bigru_jax.interop import safetensors

  options = {'license': _LICENSE.value, 'overwrite': _OVERWRITE.value}
  workdir = published.find(_WORKDIR.value)
  if run_files.read_config(workdir).task == 'language_model':
    safetensors.save_language_model(workdir, folder, **options)
  else:
    safetensors.save(bigru_jax.load(workdir), folder, **options)


def main() -> None:
  """Writes the model in its format."""
  FLAGS.require('workdir', 'output')
  if _FORMAT.value != 'safetensors':
    FLAGS.refuse('format=safetensors, which has a card', 'license')
  outputs.check_local(_OUTPUT.value)
  output = pathlib.Path(_OUTPUT.value)
  check_output(output)
  host.configure_cpu()
  host.cache_compilations()
  if _FORMAT.value == 'vectors':
    from bigru_jax.interop import vectors

    count = vectors.save(_WORKDIR.value, output)
    print(f'{output}: the vectors of {count} words')
    return
  if _FORMAT.value == 'safetensors':
    publish(output)
    print(f'{output}: {", ".join(sorted(x.name for x in output.iterdir()))}')
    return
  run = bigru_jax.load(_WORKDIR.value)
  from bigru_jax.interop.description import describe

  description = description_of(output)
  about = json.dumps({'file': output.name, **describe(run)})
  # Both files are written, or neither.
  with replacing(output) as model_path, replacing(description) as about_path:
    model_path.write_bytes(serialized(run))
    about_path.write_text(about, encoding='utf-8')
  print(
    f'{output}: the model\n{description}: its labels, thresholds and vocabulary'
  )
