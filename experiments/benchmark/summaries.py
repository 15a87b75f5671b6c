"""Tables and plots of what the benchmark measured."""

from collections.abc import Iterable
import json
import pathlib
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Line = dict[str, Any]
TITLES = {
  'forward': 'Encoder, forward',
  'backward': 'Encoder, forward and backward',
  'step': 'Training step',
  'memory': 'Peak memory of a training step',
  'epoch': 'Training epoch',
  'inference': 'Inference, token ids to labels',
  'serving': 'Serving, texts to labels',
}
UNITS = {
  'forward': 'GFLOP/s', 'backward': 'GFLOP/s', 'step': 'tokens/s',
  'memory': 'MiB', 'epoch': 'tokens/s', 'inference': 'texts/s',
  'serving': 'texts/s',
}  # fmt: skip


def kind(line: Line) -> str:
  """Which table a line belongs to, a key of TITLES."""
  return 'memory' if line['level'] == 'memory' else line['work']


def amount(line: Line, name: str) -> float:
  """What a program does in a second, or its memory, in the unit of UNITS."""
  measured = line['programs'][name]
  done = {
    'forward': line['flops'] / 1e9,
    'backward': line['flops'] / 1e9,
    'step': line['batch'] * line['length'],
    'epoch': measured['value'],
    'inference': line['sentences'],
    'serving': line['sentences'],
  }[line['work']]
  return (
    measured['mib'] if kind(line) == 'memory' else done / measured['median']
  )


def size(line: Line) -> str:
  """The case, such as `B64 T22 E100 H128`."""
  axes = {'B': 'batch', 'T': 'length', 'E': 'embedding', 'H': 'hidden'}
  return ' '.join(f'{x}{line[axis]}' for x, axis in axes.items() if line[axis])


def entry(line: Line, name: str) -> str:
  """A program's entry in a table: time, amount, time over ours."""
  if name not in line['programs']:
    return '–'
  cost = 'mib' if kind(line) == 'memory' else 'median'
  value = line['programs'][name][cost]
  ratio = value / line['programs']['ours'][cost]
  text = f'{1e3 * value:.1f} ms' if value < 1 else f'{value:.2f} s'
  text = (
    f'{text}, {amount(line, name):,.0f}' if cost == 'median' else f'{value:.0f}'
  )
  return text if name == 'ours' else f'{text} ({ratio:.2f} ×)'


def summary(line: Line) -> str:
  """A line for the terminal while the others are still to come."""
  entries = [f'{name} {entry(line, name)}' for name in line['programs']]
  return f'{kind(line)} {size(line)}: {"; ".join(entries)}'


def table(lines: list[Line], axis: str | None = None) -> str:
  """A Markdown table of lines of one kind, with a title."""
  if lines[0]['level'] == 'start':
    warm = lines[0]['programs']['ours']['median']
    return (
      f'From the start of the process to the first training step: {warm:.1f} s '
      'with a warm compilation cache.'
    )
  names = list(dict.fromkeys(n for line in lines for n in line['programs']))
  rows = [['size', *([axis] if axis else []), *names, 'peak, ours']]
  rows.append(['---'] * len(rows[0]))
  for line in lines:
    share = '–'
    if 'peak' in line:
      peak = line['peak'] / 1e9
      share = f'{peak:.0f}, {100 * amount(line, "ours") / peak:.0f} %'
    entries = [entry(line, name) for name in names]
    value = [f'{line[axis]:,}'] if axis else []
    rows.append([size(line), *value, *entries, share])
  title = f'**{TITLES[kind(lines[0])]}** ({UNITS[kind(lines[0])]})'
  return f'{title}\n\n' + '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def draw_bars(axes: Axes, lines: list[Line]) -> None:
  """What each program does in a second, a group of bars per case."""
  names = list(dict.fromkeys(n for line in lines for n in line['programs']))
  width = 0.8 / len(names)
  for i, name in enumerate(names):
    cases = [n for n, line in enumerate(lines) if name in line['programs']]
    places = [n + (i - (len(names) - 1) / 2) * width for n in cases]
    axes.bar(places, [amount(lines[n], name) for n in cases], width, label=name)
  for n, line in enumerate(lines):
    if 'peak' in line:
      axes.hlines(line['peak'] / 1e9, n - 0.45, n + 0.45, 'k', ':')
  axes.set_xticks(range(len(lines)), [size(line) for line in lines], fontsize=7)
  axes.set(title=TITLES[kind(lines[0])], ylabel=UNITS[kind(lines[0])])
  axes.legend(frameon=False, fontsize=7, ncols=3)
  axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # Room for the legend.


def draw_shares(axes: Axes, lines: list[Line]) -> None:
  """Each program's share of the peak against the FLOPs of the encoder."""
  lines = sorted(lines, key=lambda line: line['flops'])
  for name in dict.fromkeys(n for line in lines for n in line['programs']):
    measured = [line for line in lines if name in line['programs']]
    axes.semilogx(
      [line['flops'] / 1e9 for line in measured],
      [100 * amount(line, name) * 1e9 / line['peak'] for line in measured],
      'o-' if name == 'ours' else '.-',
      label=name,
      alpha=1 if name == 'ours' else 0.6,
    )
  axes.axhline(100, color='k', linestyle=':')
  axes.set(
    title=f"{TITLES[kind(lines[0])]}: share of a matmul's peak",
    xlabel='GFLOP of a call',
    ylabel='%',
  )
  axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
  axes.legend(frameon=False, fontsize=7, ncols=3)


def draw_sweep(axes: Axes, lines: list[Line], axis: str) -> None:
  """Time against an axis, beside a line in proportion to FLOPs if they grow."""
  values = [line[axis] for line in lines]
  draw = axes.loglog if axis in ('batch', 'length', 'hidden') else axes.semilogx
  for name in lines[0]['programs']:
    times = [1e3 * line['programs'][name]['median'] for line in lines]
    draw(values, times, 'o-', label=name)
  if draw == axes.loglog:
    last = 1e3 * lines[-1]['programs']['ours']['median']
    proportional = [last * x['flops'] / lines[-1]['flops'] for x in lines]
    draw(values, proportional, 'k:', label='in proportion to FLOPs')
  else:
    axes.set_ylim(bottom=0)
  axes.set_xticks(values, [f'{value:,}' for value in values], fontsize=8)
  axes.minorticks_off()
  axes.set(xlabel=axis, ylabel='ms', title=TITLES[kind(lines[0])])
  axes.legend(frameon=False)


def write(
  path: pathlib.Path, measured: Iterable[Line], axis: str | None = None
) -> None:
  """Prints the tables, and writes path.json, path.md, path.png.

  Where encoders were measured, path_peak.png shows their shares of the peak.

  path.json is written after each line, so that a benchmark that is interrupted
  keeps its lines.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  lines: list[Line] = []
  groups: dict[str, list[Line]] = {}
  for line in measured:
    lines.append(line)
    path.with_suffix('.json').write_text(json.dumps(lines, indent=2) + '\n')
    key = 'start' if line['level'] == 'start' else kind(line)
    groups.setdefault(key, []).append(line)
  tables = '\n\n'.join(table(group, axis) for group in groups.values())
  print(tables)
  path.with_suffix('.md').write_text(tables + '\n')
  groups.pop('start', None)
  if groups:
    figure = Figure(figsize=(7, 3.2 * len(groups)), layout='constrained')
    panels = figure.subplots(len(groups), squeeze=False)[:, 0]
    for panel, group in zip(panels, groups.values()):
      if axis:
        draw_sweep(panel, group, axis)
      else:
        draw_bars(panel, group)
    figure.savefig(path.with_suffix('.png'), dpi=110)
  if encoders := [group for group in groups.values() if 'peak' in group[0]]:
    figure = Figure(figsize=(7, 3.2 * len(encoders)), layout='constrained')
    panels = figure.subplots(len(encoders), squeeze=False)[:, 0]
    for panel, group in zip(panels, encoders):
      draw_shares(panel, group)
    figure.savefig(path.with_name(f'{path.name}_peak.png'), dpi=110)
