"""Checks and measures the GPU or TPU of this machine, in under ten minutes.

  python experiments/benchmark/accelerator.py
  python experiments/benchmark/accelerator.py --platform=cpu --cell=4,6,8,5 \
    --vocabulary=50 --rounds=1

It first compares the GRU's implementations and one training step with the CPU;
then it measures the levels of main.py, in float32 and bfloat16, beside Flax,
Keras and PyTorch's cuDNN; and last the peak of the device's memory. (`pallas`
is our encoder with the kernels that are not the default.) Baselines that are
not installed are skipped. The programs on JAX share a process, since a
TPU belongs to one process at a time, and take turns with PyTorch's; a time is
the median over the rounds, without compilation and the first 0.3 s of a turn.

Each item gets a share of `--budget`. The same command measures what is left
out, and repeats nothing that accelerator.json, in the output folder, has.
"""

from collections.abc import Iterator
import contextlib
import importlib.util
import json
import os
import pathlib
import sys
import time
from typing import Any

import checks
from items import Item, items
import summaries
import turns

from bigru_jax.cli import command
from bigru_jax.cli.command_flags import Flags
from bigru_jax.reports.tables import markdown
from bigru_jax.runtime.atomic import write_text

BASELINES = 'flax', 'keras', 'torch'
SHARES = 2  # An item may take that many even shares of the time that is left.

FLAGS = Flags()
_PLATFORM = FLAGS.string(
  'platform', "JAX's platform: cuda, tpu, or cpu to rehearse; by default the "
  'first that JAX finds.', ''
)  # fmt: skip
_BUDGET = FLAGS.integer('budget', 'The seconds for all items.', 540, 1)
_ROUNDS = FLAGS.integer('rounds', 'The timed calls of a program.', 15, 1)
_CELL = FLAGS.list('cell', 'B,T,E,H, which replace the sizes.', [])
_VOCABULARY = FLAGS.integer('vocabulary', 'Its size for a step.', 20_000, 2)
_BASELINES = FLAGS.list(
  'baselines', f'The baselines: {", ".join(BASELINES)}.', list(BASELINES)
)
_RESTART = FLAGS.boolean('restart', 'Measure all items again.')
_OUTPUT = FLAGS.path('output', 'The output folder.', 'runs/benchmark')


def chosen_items() -> list[Item]:
  """Returns the items of the flags, the most important first."""
  size = tuple(map(int, _CELL.value)) or None
  return items(size, _VOCABULARY.value)


def measure(
  item: Item, names: list[str], servers: turns.Servers, limit: float
) -> dict[str, Any]:
  """Checks or measures an item.

  Args:
    item: the item.
    names: the programs, ours first.
    servers: the processes.
    limit: the seconds it may take.

  Returns:
    `checks`, the errors by precision, or `programs`, see `turns.measure`.

  Raises:
    TimeoutError: it took longer.
    ValueError: it failed.
  """
  case, end = item.case, time.monotonic() + limit
  ask = servers.of('ours').ask
  if item.kind == 'gru':
    implementation = item.implementation
    errors = ask(checks.check_gru, implementation, case, limit=limit)
    return {'checks': errors}
  if item.kind == 'update':
    return {'checks': ask(checks.check_update, case, limit=limit)}
  programs: dict[str, Any] = {}
  if case.work not in ('forward', 'backward'):
    names = [name for name in names if name != 'pallas']
  if item.kind == 'time':
    of_names = {name: servers.of(name) for name in names}
    programs = turns.measure(case, of_names, _ROUNDS.value, limit=limit)
  else:
    for name in names:
      servers.close()  # The peak of a process cannot be reset.
      left = end - time.monotonic()
      of_name = {name: servers.of(name)}
      programs |= turns.measure(case, of_name, 0, memory=True, limit=left)
  if 'error' in programs['ours']:
    raise ValueError(f'ours failed: {programs["ours"]["error"]}')
  return {'programs': programs}


def programs_of(
  device: dict[str, Any], servers: turns.Servers
) -> tuple[list[str], list[str]]:
  """Returns the programs to measure, and why others are skipped."""
  names, skipped = ['ours', 'pallas'], []
  for name in _BASELINES.value:
    reason, platform = '', device['platform']
    if not importlib.util.find_spec(name):
      reason = 'it is not installed'
    elif name == 'torch' and platform == 'gpu':
      name, reason = 'cudnn', servers.of('torch').ask(checks.cuda_problem)
    elif name == 'torch' and platform != 'cpu':
      reason = f'it does not run on a {platform}'
    if reason:
      skipped.append(f'{name} is skipped: {reason}.')
    else:
      names.append(name)
  return names, skipped


def run(
  document: dict[str, Any], names: list[str], servers: turns.Servers, end: float
) -> Iterator[str]:
  """Measures the items that the document lacks, and adds them to it.

  Args:
    document: what accelerator.json has.
    names: the programs.
    servers: the processes.
    end: when the time is over, by `time.monotonic`.

  Yields:
    The title of each item that was measured.
  """
  results = document['items']
  done = {title for title, x in results.items() if 'error' not in x}
  missing = [item for item in chosen_items() if item.title not in done]
  for i, item in enumerate(missing):
    left = end - time.monotonic()
    share = min(left, SHARES * left / (len(missing) - i))
    try:
      if share <= 0:
        raise TimeoutError
      result = measure(item, names, servers, share)
    except TimeoutError:
      servers.close()  # They are still busy.
      result = {'error': f'left out after {max(share, 0):.0f} s'}
    except ValueError as error:
      servers.close()  # They may have ended.
      result = {'error': f'failed: {error}'}
    taken = left - (end - time.monotonic())
    results[item.title] = result | {'taken': round(taken, 1)}
    yield item.title


def table(results: dict[str, Any], names: list[str]) -> str:
  """Formats all items as one Markdown table, and below it what failed."""
  rows, failures = [['', *names]], []
  for item in chosen_items():
    result = results.get(item.title, {'error': 'not measured'})
    if 'checks' in result:
      for precision, x in result['checks'].items():
        sign = '≤' if x['error'] <= x['bound'] else 'ABOVE'
        entry = f'{x["error"]:.1e} {sign} {x["bound"]:.0e} ({x["array"]})'
        rows.append(
          [f'{item.title}, {precision}', entry, *['–'] * len(names[1:])]
        )
    elif 'programs' in result:
      programs = result['programs']
      failures += [
        f'{item.title}: {name} failed: {x["error"]}'
        for name, x in programs.items() if 'error' in x
      ]  # fmt: skip
      good = {k: x for k, x in programs.items() if 'error' not in x}
      line = item.line | {'programs': good}
      rows.append([item.title, *(summaries.entry(line, x) for x in names)])
    else:
      rows.append([item.title, result['error'], *['–'] * len(names[1:])])
  return '\n\n'.join([markdown(rows), *failures])


def load(path: pathlib.Path, device: dict[str, Any]) -> dict[str, Any]:
  """Returns what was measured before, or a new document.

  Raises:
    ValueError: it was measured on another device or in another way.
  """
  settings = {
    'vocabulary': _VOCABULARY.value,
    'baselines': _BASELINES.value,
    'device': device,
  }
  if _RESTART.value or not path.exists():
    return settings | {'items': {}}
  document = json.loads(path.read_text())
  for name, value in settings.items():
    if document[name] != value:
      raise ValueError(
        f'output={path} was measured with another {name} or version of it; '
        'choose another output, or --restart'
      )
  return document


def main() -> int:
  """Checks and measures what is missing, and writes and prints the table."""
  FLAGS.check_choices('baselines', BASELINES)
  end = time.monotonic() + _BUDGET.value
  if len(_CELL.value) not in (0, 4) or not all(map(str.isdigit, _CELL.value)):
    raise ValueError(f'cell={",".join(_CELL.value)}: give four whole numbers')
  # A GPU's memory is shared with PyTorch; the checks need the CPU as well.
  os.environ.update(turns.ENVIRONMENT, XLA_PYTHON_CLIENT_PREALLOCATE='false')
  if _PLATFORM.value:
    both = dict.fromkeys([_PLATFORM.value, 'cpu'])
    os.environ['JAX_PLATFORMS'] = ','.join(both)
  path = pathlib.Path(_OUTPUT.value, 'accelerator.json')
  path.parent.mkdir(parents=True, exist_ok=True)
  with contextlib.closing(turns.Servers()) as servers:
    device = servers.of('ours').ask(checks.describe)
    if 'problem' in device:
      raise ValueError(f'platform={_PLATFORM.value}: {device["problem"]}')
    document = load(path, device)
    names, skipped = programs_of(device, servers)
    for title in run(document, names, servers, end):
      write_text(path, json.dumps(document, indent=2) + '\n')
      taken = document['items'][title]['taken']
      print(f'{title}: {taken} s', file=sys.stderr)
  text = '\n\n'.join([
    f'{device["name"]} ({device["platform"]}), JAX {device["versions"]["jax"]}',
    table(document['items'], names), *skipped,
  ])  # fmt: skip
  print(text)
  write_text(path.with_suffix('.md'), text + '\n')
  return 0 if all(map(is_right, document['items'].values())) else 1


def is_right(result: dict[str, Any]) -> bool:
  """Returns whether nothing failed and all errors are within their bounds."""
  if result.get('error', '').startswith('failed'):
    return False
  return all(
    x['error'] <= x['bound'] for x in result.get('checks', {}).values()
  )


if __name__ == '__main__':
  command.start(sys.modules[__name__], sys.argv)
