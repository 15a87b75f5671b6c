"""`bigru compile`, with this machine's CPU in the place of a target."""

import json

import jax
import pytest
from scripts import run_command

import bigru_jax
from bigru_jax.cli import compile as compile_command
from bigru_jax.compilation import targets
from bigru_jax.data.prepare import prepare

FLAGS = '--dataset=synthetic', '--hidden_size=8', '--embedding_size=8'


@pytest.fixture
def cpus(monkeypatch):
  """Every target is four CPU devices with the memory that a test sets."""

  def install(memory):
    target = targets.Target(
      name='cpux4',
      platform='cpu',
      devices=jax.devices('cpu')[:4],
      memory=memory,
    )
    monkeypatch.setattr(targets, 'find', lambda name: target)

  return install


def test_the_table_and_the_json_say_what_a_step_takes(cpus, tmp_path):
  cpus(memory=2**30)
  output = tmp_path / 'steps.json'
  done = run_command('compile', '--target=x', *FLAGS, f'--output={output}')
  assert done.returncode == 0, done.stderr
  title, _, head, *rows = done.stdout.splitlines()
  assert title == 'One of the 4 devices of cpux4:'
  assert head.split() == ['train', 'evaluate', 'predict']
  values = {row[:30].split('  ')[0]: row.split()[-3:] for row in rows}
  assert values['fits'] == ['yes'] * 3
  assert values['memory of a device, MB'] == ['1,073.7'] * 3
  result = json.loads(output.read_text())
  assert (result['devices'], result['fits']) == (4, True)
  train = result['steps'][0]
  assert train['tokens'][0] == result['batch_size'] == 64
  assert train['memory'] == (
    train['arguments']
    + train['outputs']
    - train['aliased']
    + train['temporaries']
  )
  assert f'{train["memory"] / 1e6:.1f}' == values['memory in all, MB'][0]
  gradients = [x for x in train['collectives'] if x['kind'] == 'all-reduce']
  assert gradients[0]['bytes'] > 0
  assert 'text' not in train


def test_what_does_not_fit_has_status_1_and_a_largest_batch(cpus, tmp_path):
  cpus(memory=2**30)
  output = tmp_path / 'steps.json'
  flags = '--target=x', *FLAGS, f'--output={output}'
  run_command('compile', *flags)
  memory = json.loads(output.read_text())['steps'][0]['memory']
  cpus(memory=memory * 3 // 4)
  done = run_command('compile', *flags, '--largest_batch_size')
  assert done.returncode == 1, done.stderr
  result = json.loads(output.read_text())
  assert [x['fits'] for x in result['steps']][0] is False
  assert 0 < result['largest_batch_size'] < 64
  assert done.stdout.endswith(f'that fits: {result["largest_batch_size"]}\n')


def test_the_largest_batch_has_at_most_all_texts(cpus, monkeypatch):
  cpus(memory=2**40)
  monkeypatch.setattr(compile_command.steps, 'compile_steps', _one_byte)
  done = run_command('compile', '--target=x', *FLAGS, '--largest_batch_size')
  assert done.returncode == 0, done.stderr
  num_texts = len(
    prepare(bigru_jax.Config(dataset='synthetic')).splits['train']
  )
  largest = int(done.stdout.split()[-1])
  assert 15 / 16 * num_texts <= largest <= num_texts


def test_memory_that_the_compiler_finds_too_small_is_no_error(
  cpus, monkeypatch
):
  def refuse(*arguments):
    raise jax.errors.JaxRuntimeError(
      'RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm.\nUsed 20.0G'
    )

  cpus(memory=2**30)
  monkeypatch.setattr(compile_command.steps, 'compile_steps', refuse)
  done = run_command('compile', '--target=x', *FLAGS, '--largest_batch_size')
  assert done.returncode == 1
  assert 'batch_size=64 does not fit on cpux4\n' in done.stdout
  assert done.stdout.endswith('largest batch_size that fits: 0\n')
  assert 'memory space hbm.' in done.stderr


@pytest.mark.parametrize(
  'flags, message',
  [
    ([], 'target is not given'),
    (['--target=v7x'], "target='v7x': choose a100|h100|h200|b200, alone"),
    (['--target=h100', '--output=a.txt'], 'output=a.txt: the file must end in'),
    (['--target=h100', '--cpu_devices=2'], "Unknown command line flag 'cpu_de"),
  ],
)
def test_errors_have_one_line_and_status_2(flags, message):
  _check_error(flags, message)


@pytest.mark.parametrize('target', ['h100', 'v5e:2x2'])
def test_a_missing_compiler_is_named_with_its_packages(target, monkeypatch):
  def refuse(**options):
    raise NotImplementedError('topology not implemented')

  monkeypatch.setattr(targets.topologies, 'get_topology_desc', refuse)
  platform = 'tpu' if ':' in target else 'gpu'
  name = targets.compiler_packages(platform)[0].partition('=')[0]
  _check_error(
    [f'--target={target}'],
    f"target='{target}': this needs the compiler for {platform.upper()}s: "
    'pip install --target=FOLDER ',
    name,
  )


def _check_error(flags, *messages):
  done = run_command('compile', *flags, *FLAGS)
  assert done.returncode == 2
  assert not done.stdout
  (line,) = done.stderr.splitlines()
  for message in messages:
    assert message in line


def _one_byte(config, *arguments):
  """Steps that take a byte each."""
  return [
    compile_command.steps.CompiledStep(
      name='train',
      tokens=(config.batch_size, 8),
      arguments=1,
      outputs=0,
      aliased=0,
      temporaries=0,
      flops=None,
      bytes_accessed=None,
      collectives=[],
      kernels_per_step=[],
      text='',
    )
  ]
