"""export.py from a trained run, and the programs of docs/serving.md."""

import functools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from scripts import ROOT, call, programs_of, run_command, words_of

import bigru_jax
from bigru_jax.data import text
from bigru_jax.data.embeddings import load_vectors
from bigru_jax.data.tokenizer import VocabularyTokenizer
from bigru_jax.interop.description import tokenizer_rules

PAGE = (ROOT / 'docs' / 'serving.md').read_text()
SERVING = ROOT / 'docs' / 'serving'
TEXTS = ['the film was not good', 'A good film!']


def _node():
  """Node.js, if its regular expressions support the flag v."""
  node = shutil.which('node')
  if not node:
    pytest.skip('node is not installed')
  version = subprocess.run([node, '--version'], capture_output=True, text=True)
  if int(version.stdout.lstrip('v').partition('.')[0]) < 20:
    pytest.skip(f'node {version.stdout.strip()} is older than 20')
  return node


def _export(run_directory, format, output):
  done = run_command(
    'export', f'--workdir={run_directory}', f'--format={format}',
    f'--output={output}',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert not list(output.parent.glob('*.partial'))
  return output


def test_onnx_runtime_predicts_what_the_run_predicts(run_directory, tmp_path):
  onnxruntime = pytest.importorskip('onnxruntime')
  path = _export(run_directory, 'onnx', tmp_path / 'model.onnx')
  about = json.loads((tmp_path / 'model.onnx.json').read_text())
  run = bigru_jax.load(run_directory)
  assert about['vocabulary'] == run.tokenizer.vocabulary
  assert about['temperature'] == run.calibration.temperature
  (answer,) = run.predict(TEXTS[:1])
  _, ids = run.tokenizer.encode(TEXTS[0])
  probabilities, attention, _ = onnxruntime.InferenceSession(path).run(
    None,
    {'ids': np.array([ids], np.int32), 'lengths': np.int32([len(ids)])},
  )
  expected = [answer['probabilities'][label] for label in about['labels']]
  np.testing.assert_allclose(probabilities[0], expected, atol=1e-5)
  weights = answer['attention']['words']
  np.testing.assert_allclose(attention[0], weights, atol=1e-5)


def test_ambiguous_requests_are_refused(run_directory, tmp_path):
  for flags, message in [
    (['--workdir=x'], 'output is not given'),
    (['--workdir=x', '--output=.'], 'output=. is a folder'),
    (['--workdir=x', '--output=b/a.onnx'], 'there is no folder b'),
    (['--workdir=x', '--output=a.safetensors'], 'implies format=safet'),
    (['--workdir=x', '--output=pub/'], 'implies format=safetensors, not'),
    (
      ['--workdir=x', '--output=a.onnx', '--format=stablehlo'],
      'output=a.onnx implies format=onnx, not format=stablehlo',
    ),
    (
      ['--workdir=x', '--output=a.hlo', '--format=safetensors'],
      'output=a.hlo implies format=stablehlo, not format=safetensors',
    ),
    (
      ['--workdir=x', '--output=a.vec'],
      'output=a.vec implies format=vectors, not format=onnx',
    ),
    ([f'--workdir={tmp_path}', '--output=x.onnx'], 'is not a run'),
    (
      [f'--workdir={tmp_path}', '--output=x.vec', '--format=vectors'],
      'is not a run',
    ),
    (
      [
        f'--workdir={run_directory}', f'--output={run_directory}',
        '--format=safetensors',
      ],
      'is a run directory',
    ),
  ]:  # fmt: skip
    done = run_command('export', *flags, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_exports_share_no_file_and_replace_nothing_by_themselves(
  run_directory, tmp_path
):
  pytest.importorskip('onnx')
  export = functools.partial(
    run_command, 'export', f'--workdir={run_directory}', cwd=tmp_path
  )
  names = 'model.onnx', 'model.hlo'
  for name, format in zip(names, ('onnx', 'stablehlo')):
    done = export(f'--output={name}', f'--format={format}')
    assert done.returncode == 0, done.stderr
    assert f'{name}: the model\n{name}.json: its labels' in done.stdout
    about = json.loads((tmp_path / f'{name}.json').read_text())
    assert about['file'] == name and about['data'] == 'synthetic'
    assert about['version'] == bigru_jax.__version__
  assert len(list(tmp_path.iterdir())) == 4
  (tmp_path / 'mine.onnx.json').write_text('[1]')
  before = {path: path.read_bytes() for path in tmp_path.iterdir()}
  for name, existing in [
    ('model.onnx', 'would replace model.onnx and model.onnx.json;'),
    ('mine.onnx', 'would replace mine.onnx.json;'),
  ]:
    done = export(f'--output={name}')
    assert done.returncode == 2 and existing in done.stderr
    assert len(done.stderr.splitlines()) == 1 and '--overwrite' in done.stderr
  assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
  done = export('--output=mine.onnx', '--overwrite')
  assert done.returncode == 0, done.stderr
  about = json.loads((tmp_path / 'mine.onnx.json').read_text())
  assert about['file'] == 'mine.onnx' and (tmp_path / 'mine.onnx').exists()


def test_another_run_starts_from_the_exported_vectors(run_directory, tmp_path):
  path = _export(run_directory, 'vectors', tmp_path / 'words.vec')
  run = bigru_jax.load(run_directory)
  words = run.tokenizer.vocabulary[1:]
  assert [x.split()[0] for x in path.read_text().splitlines()[1:]] == words
  vectors = load_vectors(path, words, 16)
  np.testing.assert_array_equal(
    list(vectors.values()), run.params['embedding'][1:]
  )
  assert [x.name for x in tmp_path.iterdir()] == ['words.vec']


def test_a_shared_folder_lists_its_files_and_is_not_replaced_by_itself(
  run_directory, tmp_path
):
  pytest.importorskip('safetensors')
  flags = f'--workdir={run_directory}', '--format=safetensors', '--output=s'
  done = run_command('export', *flags, cwd=tmp_path)
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith('s: README.md, calibration.json, config.json, ')
  done = run_command('export', *flags, cwd=tmp_path)
  assert done.returncode == 2 and 'replace it by overwrite' in done.stderr
  done = run_command('export', *flags, '--overwrite', cwd=tmp_path)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
  'format, package',
  [
    ('onnx', 'onnx'),
    pytest.param('stablehlo', 'flatbuffers', marks=pytest.mark.slow),
  ],
)
def test_a_missing_package_is_reported_in_one_line(
  run_directory, tmp_path, format, package
):
  (tmp_path / f'{package}.py').write_text('raise ImportError')
  path = os.pathsep.join([str(tmp_path), str(ROOT)])
  done = call(
    'export.py', f'--workdir={run_directory}', f'--format={format}',
    f'--output={tmp_path / "model"}', env={**os.environ, 'PYTHONPATH': path},
  )  # fmt: skip
  assert done.returncode == 2 and 'pip install' in done.stderr, done.stderr
  assert f'format={format} needs' in done.stderr
  assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_programs_of_the_page_predict_what_the_run_predicts(
  run_directory, tmp_path
):
  pytest.importorskip('onnxruntime')
  (tmp_path / 'runs').mkdir()
  os.symlink(run_directory, tmp_path / 'runs' / 'first')
  environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
  printed = []
  for code, line in programs_of('serving.md'):
    if line.startswith('bigru run'):  # This run is trained.
      continue
    done = subprocess.run(
      [sys.executable, '-c', code] if code else words_of(line),
      cwd=tmp_path,
      env=environment,
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, f'{code or line}\n{done.stderr}'
    printed += [done.stdout] if code else []
  answers = bigru_jax.load(run_directory).predict(TEXTS)
  assert len(printed) == 3
  for output in printed:
    lines = output.splitlines()
    assert len(lines) == len(answers)
    for line, answer in zip(lines, answers):
      label, _, numbers = line.partition(' ')
      assert label == answer['label']
      found = [float(x) for x in re.findall(r'\d\.[\de-]+', numbers)][:2]
      expected = list(answer['probabilities'].values())
      np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_page_shows_the_files_of_the_browser():
  shown = re.findall(r'```js\n(.*?)```', PAGE, re.DOTALL)
  names = 'tokenizer.mjs', 'classify.mjs'
  assert shown == [(SERVING / name).read_text() for name in names]
  assert len(shown[0].splitlines()) <= 20


def _sentences():
  """Texts in many scripts, both ordinary and unusual."""
  rng = random.Random(0)
  alphabet = (
    "aBcnstlmrevd '\u2019-._,!<>/e12"
    '\u00c9\u00df\u0130\u03a3\u0939\u093f\u0928\u094d\u0416\u597d\u96fb'
    'I\u0301\u0307\u0323\u0958\u1112\u1161\u11ab\u212a\ufb1d'
    '\u30c6\u3066\u0e44\u200d\u00a0\ufeff\u3000\u0085\x1c\t\U0001f600\uff01'
  )
  drawn = (rng.choices(alphabet, k=rng.randint(0, 30)) for _ in range(2000))
  return [
    "Don't stop! She\u2019s here, rock'n'roll, well-made.",
    'Wait ... what? \u00dcBER \u0939\u093f\u0928\u094d\u0926\u0940 15 U.S.',
    '\u8fd9\u662f iPhone 15\uff01 \u30c6\u30b9\u30c8abc',
    'A <e1>well-made cup</e1>\u2019s <e2>tea</e2>. <sep> A body.',
    '@ann (see HTTP://x.org/a_(b)?c=1, www.y.de/\u597d\u96fb), me@x.org RT@b',
    '\u597dhttp://x.org\u597d .@b\u00df_1: <url> http:// @ https://(\u00e9)/,',
    '',
    *map(''.join, drawn),
  ]


@pytest.mark.parametrize('replaces', [False, True])
@pytest.mark.parametrize('name', list(text.TOKENIZERS))
def test_the_tokenizer_in_javascript_equals_ours(name, replaces, tmp_path):
  node = _node()
  sentences = _sentences()
  rules = text.TOKENIZERS[name]
  if replaces:
    rules = text.with_replacements(rules)
  tokens = {token for x in sentences for token in rules(x)}
  # Some tokens stay unknown.
  vocabulary = [text.PAD, text.UNK, *sorted(tokens)[: -len(tokens) // 9]]
  about = {
    'tokenizer': tokenizer_rules(name, replaces),
    'vocabulary': vocabulary,
    'limits': {'max_length': 12, 'truncate': 'head'},
  }
  (tmp_path / 'in.json').write_text(json.dumps([about, sentences]))
  program = f"""
    import {{ readFileSync }} from 'node:fs';
    import {{ makeTokenizer }} from '{SERVING / 'tokenizer.mjs'}';
    const [about, texts] = JSON.parse(readFileSync('in.json', 'utf-8'));
    console.log(JSON.stringify(texts.map(makeTokenizer(about))));
  """
  done = subprocess.run(
    [node, '--input-type=module', '--eval', program],
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  ours = VocabularyTokenizer(name, vocabulary, replaces)
  for sentence, ids in zip(sentences, json.loads(done.stdout), strict=True):
    assert ids == ours.encode(sentence)[1][:12], repr(sentence)


@pytest.mark.slow
def test_onnxruntime_web_predicts_as_the_run_does(run_directory, tmp_path):
  node, npm = _node(), shutil.which('npm')
  if not npm:
    pytest.skip('npm is not installed')
  pytest.importorskip('onnx')
  for path in SERVING.iterdir():
    shutil.copy(path, tmp_path)
  (tmp_path / 'package.json').write_text('{"type": "module"}')
  installed = subprocess.run(
    [npm, 'install', '--no-audit', '--no-fund', 'onnxruntime-web@1.30.0'],
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  if installed.returncode:
    pytest.skip(f'npm install: {installed.stderr.strip()[-200:]}')
  _export(run_directory, 'onnx', pathlib.Path(tmp_path, 'model.onnx'))
  texts = [*TEXTS, '', 'a ' * 600, '\u597d film']
  (tmp_path / 'main.mjs').write_text(f"""
    import {{ readFileSync }} from 'node:fs';
    import {{ loadClassifier }} from './classify.mjs';
    const about = JSON.parse(readFileSync('model.onnx.json', 'utf-8'));
    const classify = await loadClassifier(readFileSync('model.onnx'), about);
    console.log(JSON.stringify(await classify({json.dumps(texts)})));
    process.exit(0);
  """)
  done = subprocess.run(
    [node, 'main.mjs'], cwd=tmp_path, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  found = json.loads(done.stdout)
  answers = bigru_jax.load(run_directory).predict(texts)
  for ours, theirs in zip(answers, found, strict=True):
    assert theirs['label'] == ours['label']
    expected = list(ours['probabilities'].values())
    np.testing.assert_allclose(theirs['probabilities'], expected, atol=1e-5)
