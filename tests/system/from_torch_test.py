"""The page on PyTorch as a reader follows it, and the script's errors."""

import json
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
from scripts import ROOT, programs_of, run_command, words_of

import bigru_jax
from bigru_jax.interop.torch import write_state_dict
from bigru_jax.reports.page.page import data_of

FIXTURE = ROOT / 'tests' / 'fixtures' / 'from_pytorch' / 'reviews.csv'


@pytest.mark.slow
@pytest.mark.compare('torch')
def test_the_programs_of_the_page_run(tmp_path, monkeypatch):
  import torch

  monkeypatch.chdir(tmp_path)
  shutil.copy(FIXTURE, 'reviews.csv')
  found = programs_of('from_pytorch.md')
  assert len(found) == 9
  namespace, printed = {}, []
  for code, line in found:
    if code:
      exec(compile(code, 'from_pytorch.md', 'exec'), namespace)
    elif 'benchmark' not in line:  # That takes an hour.
      printed.append(subprocess.check_output(words_of(line), text=True))
  answer, expected = namespace['answer'], namespace['expected'][0]
  probabilities = [answer['probabilities'][x] for x in namespace['labels']]
  np.testing.assert_allclose(probabilities, expected, atol=1e-5)
  shown = json.loads(printed[-1])['probabilities']
  np.testing.assert_allclose(list(shown.values()), expected, atol=1e-5)
  states = namespace['gru'](namespace['x'])[0].detach()
  np.testing.assert_allclose(namespace['states'], states, atol=1e-5)
  # The state dict that went out gives the model its answers again.
  with torch.no_grad():
    again = namespace['model'].eval()(*namespace['encode']([['fine', 'film']]))
  answer = namespace['converted'].predict(['fine film'])[0]
  assert answer['probabilities']['positive'] == pytest.approx(
    float(again.softmax(1)[0, 1]), abs=1e-5
  )
  # Ours learns the same texts.
  assert namespace['run'].predict(['a fine film'])[0]['label'] == 'positive'
  assert pathlib.Path('runs/again/result.json').exists()


def _state(rng):
  """The state dict of a small classifier with two layers, H = 2."""
  shapes = {
    'embed.weight': (4, 3), 'attn.weight': (1, 4), 'out.weight': (2, 4),
    'out.bias': (2,),
  }  # fmt: skip
  for layer, features in enumerate((3, 4)):
    for direction in ('', '_reverse'):
      shapes[f'rnn.weight_ih_l{layer}{direction}'] = 6, features
      shapes[f'rnn.weight_hh_l{layer}{direction}'] = 6, 2
  return {x: rng.normal(size=y).astype('float32') for x, y in shapes.items()}


def test_a_safetensors_file_with_names_of_its_own(tmp_path):
  write_state_dict(_state(np.random.default_rng(0)), tmp_path / 'x.safetensors')
  vocabulary, workdir = tmp_path / 'words.txt', tmp_path / 'run'
  vocabulary.write_text('[UNK]\ngood\nbad\n[PAD]\n')
  flags = [
    f'--weights={tmp_path / "x.safetensors"}', f'--vocabulary={vocabulary}',
    '--labels=no,yes', f'--output={workdir}', '--embedding=embed', '--gru=rnn',
    '--attention=attn', '--dense=out', '--unknown=[UNK]',
  ]  # fmt: skip
  done = run_command('from_torch', *flags)
  assert done.returncode == 2
  assert done.stderr == (
    'from_torch.py: padding=<pad>: no such token in the vocabulary\n'
  )
  done = run_command('from_torch', *flags[1:])
  assert done.returncode == 2 and 'weights is not given' in done.stderr
  done = run_command('from_torch', *flags, '--padding=[PAD]')
  assert done.returncode == 0, done.stderr
  run = bigru_jax.load(workdir)
  assert run.tokenizer.vocabulary == ['<pad>', '<unk>', 'good', 'bad']
  assert run.predict(['Good or bad'])[0]['tokens'] == ['good', 'or', 'bad']
  digest = json.loads((workdir / 'data.json').read_text())['weights']
  assert re.fullmatch('[0-9a-f]{64}', digest)
  # A page of other texts, without scores; the model has no texts of its own.
  flags = [f'--workdir={workdir}', '--text=Good or bad']
  done = run_command('report', *flags)
  assert done.returncode == 2 and 'output: name a file' in done.stderr
  done = run_command('report', *flags, f'--output={tmp_path / "page.html"}')
  assert done.returncode == 0, done.stderr
  page = data_of(tmp_path / 'page.html')
  assert page['model'].startswith('The model is a bidirectional GRU with dot')
  assert page['top']['title'] == 'Answers for the texts of the command line'
  assert page['curves'] == [] and page['report'] is None
  for name, *more in (
    ('report',),
    ('explain',),
    ('evaluate', '--split=test'),
  ):
    done = run_command(name, f'--workdir={workdir}', *more)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert 'data are not available. It was trained by another' in done.stderr
