"""Tables, files and the plot of the benchmarks' measurements."""

from collections.abc import Callable, Iterable
import json
import pathlib
import sys
from typing import Any

from bigru_jax.reports.tables import markdown

Line = dict[str, Any]
TITLES = {
  'forward': ('Encoder, forward', 'GFLOP/s'),
  'backward': ('Encoder, forward and backward', 'GFLOP/s'),
  'step': ('Training step', 'tokens/s'),
  'pretraining': ('Pretraining step, sampled softmax', 'tokens/s'),
  'memory': ('Peak memory of a training step', 'MiB'),
  'epoch': ('Training epoch', 'tokens/s'),
  'inference': ('Inference, token ids to labels', 'texts/s'),
  'serving': ('Serving, texts to labels', 'texts/s'),
}


def write(
  path: pathlib.Path,
  measured: Iterable[Line],
  tables: Callable[[list[Line]], str],
) -> list[Line]:
  """Prints the tables, and writes them to path.md and the lines to path.json.

  path.json is written after each line, so that an interrupted benchmark keeps
  what it has measured.

  Args:
    path: the path without a suffix.
    measured: an iterator that measures each line.
    tables: formats lines as Markdown.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  lines = []
  for line in measured:
    lines.append(line)
    path.with_suffix('.json').write_text(json.dumps(lines, indent=2) + '\n')
    print(tables([line]), file=sys.stderr)
  print(tables(lines))
  path.with_suffix('.md').write_text(tables(lines) + '\n')
  return lines


def kind(line: Line) -> str:
  """Returns the kind of work that a line measures, a key of TITLES."""
  return 'memory' if line['level'] == 'memory' else line['work']


def speed(line: Line, name: str) -> float:
  """Returns how much a program does in a second, in the unit of TITLES."""
  program = line['programs'][name]
  if line['flops']:
    return line['flops'] / 1e9 / program['median']
  return program['amount'] / program['median']


def share(line: Line, name: str) -> float:
  """Returns a program's speed in percent of the peak."""
  return 100 * speed(line, name) * 1e9 / line['peak']


def size(line: Line) -> str:
  """Returns the case, such as `B64 T22 E100 H128`."""
  axes = {'B': 'batch', 'T': 'length', 'E': 'embedding', 'H': 'hidden'}
  return ' '.join(f'{x}{line[axis]}' for x, axis in axes.items() if line[axis])


def entry(line: Line, name: str) -> str:
  """Returns a program's entry in a table, with its ratio to ours."""
  if name not in line['programs']:
    return '–'
  cost = 'mib' if kind(line) == 'memory' else 'median'
  value = line['programs'][name][cost]
  if cost == 'mib':
    text = f'{value:.0f}'
  else:
    text = f'{1e3 * value:.1f} ms' if value < 1 else f'{value:.2f} s'
    text += f', {speed(line, name):,.0f}'
  ours = line['programs']['ours'][cost]
  if name == 'ours' or not ours:  # A tiny case may need no memory.
    return text
  return f'{text} ({value / ours:.2f} ×)'


def names_in(lines: list[Line]) -> list[str]:
  """Returns the programs of the lines, in order."""
  return list(
    dict.fromkeys(name for line in lines for name in line['programs'])
  )


def table(lines: list[Line]) -> str:
  """Returns a Markdown table of lines of one kind, with a title."""
  if lines[0]['level'] == 'start':
    warm = lines[0]['programs']['ours']['median']
    return (
      f'From the start of the process to the first training step: {warm:.1f} s '
      'with a warm compilation cache.'
    )
  if lines[0]['level'] == 'latency':
    return _latencies(lines)
  names = names_in(lines)
  rows = [['size', *names, 'peak, ours']]
  for line in lines:
    peak = '–'
    if 'peak' in line:
      peak = f'{line["peak"] / 1e9:.0f}, {share(line, "ours"):.0f} %'
    rows.append([size(line), *(entry(line, name) for name in names), peak])
  title, unit = TITLES[kind(lines[0])]
  if lines[0]['dtype'] != 'float32':
    title += f', {lines[0]["dtype"]}'
  return f'**{title}** ({unit})\n\n{markdown(rows)}'


def _latencies(lines: list[Line]) -> str:
  """Returns a table of the milliseconds of single texts."""
  rows = [['size', 'program', 'threads', 'p50', 'p99', 'longest']]
  for line in lines:
    for name, by_threads in line['programs'].items():
      for threads, seconds in by_threads.items():
        times = [f'{1e3 * x:.2f}' for x in seconds.values()]
        rows.append([size(line), name, threads, *times])
  return f'**Latency of one text of 1 to 300 words** (ms)\n\n{markdown(rows)}'


def tables(lines: list[Line]) -> str:
  """Returns a Markdown table for each level and kind of work."""
  groups: dict[tuple[str, str], list[Line]] = {}
  for line in lines:
    groups.setdefault((line['level'], line.get('work', '')), []).append(line)
  return '\n\n'.join(map(table, groups.values()))


def draw(path: pathlib.Path, lines: list[Line]) -> None:
  """Draws each program's share of the peak against the encoder's FLOPs."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(7, 6.4), layout='constrained')
  for axes, work in zip(figure.subplots(2), ('forward', 'backward')):
    encoders = [line for line in lines if line.get('work') == work]
    encoders.sort(key=lambda line: line['flops'])
    for name in names_in(encoders):
      measured = [line for line in encoders if name in line['programs']]
      shares = [share(line, name) for line in measured]
      axes.semilogx([x['flops'] / 1e9 for x in measured], shares, label=name,
                    marker='o' if name == 'ours' else '.')  # fmt: skip
    axes.axhline(100, color='k', linestyle=':')
    title = f"{TITLES[work][0]}: share of a matmul's peak"
    axes.set(title=title, xlabel='GFLOP of a call', ylabel='%')
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=7, ncols=3)
  figure.savefig(path, dpi=110)
