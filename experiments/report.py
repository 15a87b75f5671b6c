"""Tables and pictures of what benchmark.py measured."""

import json

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402  After the backend.

TITLES = {
  'forward': 'Encoder, forward',
  'backward': 'Encoder, forward and backward',
  'step': 'Training step',
  'memory': 'Peak memory of a training step',
  'epoch': 'Epoch of texts',
  'inference': 'Inference, token ids to labels',
  'start': 'Start',
}
UNITS = {
  'forward': 'GFLOP/s',
  'backward': 'GFLOP/s',
  'step': 'tokens/s',
  'epoch': 'real tokens/s',
  'inference': 'sentences/s',
}
COLORS = {
  'ours': 'tab:blue',
  'torch': 'tab:orange',
  'torch_compile': 'peru',
  'keras': 'tab:red',
  'flax': 'tab:green',
  'haiku': 'tab:purple',
  'onnxruntime': 'tab:gray',
}


def kind(line):
  """Which table a line stands in, a key of TITLES."""
  return 'memory' if line['level'] == 'memory' else line['work']


def speed(line, peer):
  """What a peer does in a second, in the work's unit."""
  amount = {
    'forward': lambda: line['flops'] / 1e9,
    'backward': lambda: line['flops'] / 1e9,
    'step': lambda: line['batch'] * line['length'],
    'epoch': lambda: line['peers'][peer]['value'],
    'inference': lambda: line['sentences'],
  }[line['work']]()
  return amount / line['peers'][peer]['median']


def size(line):
  """The case, such as `B64 T22 E100 H128`."""
  sizes = {
    'B': line['batch'],
    'T': line['length'],
    'E': line['embedding'],
    'H': line['hidden'],
  }
  return ' '.join(f'{axis}{value}' for axis, value in sizes.items() if value)


def figure(line, peer):
  """A peer's entry in a table."""
  measured, ours = line['peers'].get(peer), line['peers']['ours']
  if measured is None:
    return '–'
  if kind(line) == 'memory':
    text, ratio = f'{measured["mib"]:.0f} MiB', measured['mib'] / ours['mib']
  else:
    seconds, rate = measured['median'], speed(line, peer)
    time = f'{1e3 * seconds:.1f} ms' if seconds < 1 else f'{seconds:.2f} s'
    text, ratio = f'{time}, {rate:,.0f}', seconds / ours['median']
  return text if peer == 'ours' else f'{text} ({ratio:.2f} ×)'


def summary(line):
  """A line for the terminal while the others are still to come."""
  entries = [f'{peer} {figure(line, peer)}' for peer in line['peers']]
  return f'{kind(line)} {size(line)}: {"; ".join(entries)}'


def table(lines, axis=None):
  """A Markdown table of lines of one kind, with a title."""
  first = lines[0]
  if first['work'] == 'start':
    warm = first['peers']['ours']['median']
    return (
      f'From the start of run.py to the end of its first step: {warm:.1f} s '
      f'with a warm compilation cache ({first["first"]:.1f} s before that).'
    )
  unit = UNITS.get(kind(first))
  title = f'**{TITLES[kind(first)]}**' + (f' (time, {unit})' if unit else '')
  peers = list(dict.fromkeys(peer for line in lines for peer in line['peers']))
  header = ['size', *([axis] if axis else []), *peers]
  if 'roof' in first:
    header.append('roof, ours')
  rows = [header, ['---'] * len(header)]
  for line in lines:
    row = [size(line), *([f'{line[axis]:,}'] if axis else [])]
    row += [figure(line, peer) for peer in peers]
    if 'roof' in line:
      top = line['roof'] / 1e9
      row.append(f'{top:.0f}, {100 * speed(line, "ours") / top:.0f} %')
    rows.append(row)
  return f'{title}\n\n' + '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def _by_kind(lines):
  groups = {}
  for line in lines:
    groups.setdefault(kind(line), []).append(line)
  return groups


def draw_bars(axes, lines):
  """What each peer does in a second, a group of bars a case."""
  peers = [p for p in COLORS if any(p in line['peers'] for line in lines)]
  width = 0.8 / len(peers)
  of_memory = kind(lines[0]) == 'memory'
  for i, peer in enumerate(peers):
    places = [n for n, line in enumerate(lines) if peer in line['peers']]
    heights = [
      lines[n]['peers'][peer]['mib'] if of_memory else speed(lines[n], peer)
      for n in places
    ]
    shifted = [n + (i - (len(peers) - 1) / 2) * width for n in places]
    axes.bar(shifted, heights, width, color=COLORS[peer], label=peer)
  for n, line in enumerate(lines):
    if 'roof' in line:
      top = line['roof'] / 1e9
      label = None if n else 'roof'  # Once in the legend.
      axes.plot([n - 0.45, n + 0.45], [top, top], 'k:', label=label)
  axes.set_xticks(range(len(lines)), [_wrapped(line) for line in lines])
  title, unit = TITLES[kind(lines[0])], UNITS.get(kind(lines[0]), 'MiB')
  axes.set(title=title, ylabel=unit)
  axes.legend(frameon=False, fontsize=8, ncols=2, loc='upper left')
  axes.set_ylim(0, 1.4 * axes.get_ylim()[1])  # Room for the legend.
  axes.spines[['top', 'right']].set_visible(False)


def _wrapped(line):
  """The case in two lines."""
  words = size(line).split()
  return ' '.join(words[:2]) + '\n' + ' '.join(words[2:])


def plot(groups):
  """A panel of bars for each kind of work, two in a row."""
  rows = (len(groups) + 1) // 2
  wide = max(6, *(1.6 * len(lines) for lines in groups.values()))
  picture, axes = plt.subplots(
    rows, 2, figsize=(2 * wide, 3.4 * rows), layout='constrained',
    squeeze=False,
  )  # fmt: skip
  for panel in axes.flat[len(groups) :]:
    panel.set_axis_off()
  for panel, lines in zip(axes.flat, groups.values()):
    draw_bars(panel, lines)
  return picture


def plot_sweep(lines, axis):
  """Time against an axis; where FLOPs follow it, beside them on log axes."""
  picture, axes = plt.subplots(figsize=(5.5, 4), layout='constrained')
  values = [line[axis] for line in lines]
  by_flops = axis in ('batch', 'length', 'hidden')
  draw = axes.loglog if by_flops else axes.semilogx
  for peer in lines[0]['peers']:
    times = [1e3 * line['peers'][peer]['median'] for line in lines]
    draw(values, times, 'o-', color=COLORS[peer], label=peer)
  if by_flops:
    ours = lines[-1]['peers']['ours']['median'] * 1e3
    proportional = [ours * x['flops'] / lines[-1]['flops'] for x in lines]
    draw(values, proportional, 'k:', label='in proportion to FLOPs')
  else:
    axes.set_ylim(bottom=0)
  axes.set_xticks(values, [f'{value:,}' for value in values], fontsize=8)
  axes.minorticks_off()
  axes.set(xlabel=axis, ylabel='ms', title=TITLES[kind(lines[0])])
  axes.legend(frameon=False)
  return picture


def write(path, measured, axis=None):
  """Prints the tables, and writes path.md, path.json and path.png.

  Args:
    path: without a suffix.
    measured: an iterable of lines; path.json is written after each of them, so
      that a run that is cut off keeps its lines.
    axis: of a sweep.
  """
  lines = []
  for line in measured:
    lines.append(line)
    path.with_suffix('.json').write_text(json.dumps(lines, indent=2) + '\n')
  groups = _by_kind(lines)
  tables = '\n\n'.join(table(group, axis) for group in groups.values())
  print(tables)
  path.with_suffix('.md').write_text(tables + '\n')
  groups.pop('start', None)
  if groups:
    picture = plot_sweep(lines, axis) if axis else plot(groups)
    picture.savefig(path.with_suffix('.png'), dpi=110)
