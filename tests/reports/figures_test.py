"""Figures of runs: the spread over seeds, and nothing covered or cut off."""

import dataclasses

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
import numpy as np
import pytest

from bigru_jax.config import Config
from bigru_jax.reports import records
from bigru_jax.reports.comparison.settings import Cell, compare_settings
from bigru_jax.reports.figures import panels, runs as figures, settings as plots
from bigru_jax.reports.records import Record

LABELS = ['a label of very many letters, which is cut', '$x_1$', 'c']


def _record(seed, learning_rate, f1, labels=LABELS):
  """A run that was never trained, with the same score everywhere."""
  curve = {
    'name': 'c', 'false_positive_rate': [0, 1], 'recall': [f1, 1],
    'precision': [f1, f1], 'roc_auc': f1, 'average_precision': f1,
    'point': {'false_positive_rate': 0, 'recall': 1, 'precision': f1},
  }  # fmt: skip
  return Record(
    config=Config(seed=seed, learning_rate=learning_rate),
    lines=[
      {'split': x, 'epoch': 1, 'step': 9, 'loss': 1 - f1, 'accuracy': f1}
      for x in ('train', 'validation')
    ],
    diagnostics={
      'reliability': [
        {'low': 0.9, 'confidence': 1.0, 'accuracy': f1, 'count': 5}
      ],
      'by_length': [{'low': 1, 'high': 9, 'accuracy': f1}],
      'curves': [curve],
    },
    report={
      'classes': {label: {'f1': f1} for label in labels},
      'confusion': np.full((len(labels), len(labels)), 123456).tolist(),
    },
    labels=labels,
  )


@pytest.fixture
def groups():
  scores = {0.1: [0.8, 0.9, 1.0], 0.2: [0.6, 0.6, 0.9]}
  return records.by_seed([
    _record(seed, rate, f1)
    for rate, of_rate in scores.items()
    for seed, f1 in enumerate(of_rate)
  ])  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
  """The figures that are written."""
  written = []
  for module in (panels, plots):
    monkeypatch.setattr(module, 'save', lambda x, path: written.append(x))
  return written


def _assert_nothing_is_cut_or_covered(figure):
  renderer = FigureCanvasAgg(figure).get_renderer()
  figure.draw(renderer)
  width, height = figure.canvas.get_width_height()
  for axes in figure.axes:
    box = axes.get_tightbbox(renderer)
    assert box.x0 >= -1 and box.x1 <= width + 1, axes.get_xlabel()
    assert box.y0 >= -1 and box.y1 <= height + 1, axes.get_xlabel()
    if axes.get_legend():
      legend = axes.get_legend().get_window_extent(renderer)
      assert legend.y0 >= axes.get_window_extent(renderer).y1
    for line in axes.lines:
      low, high = sorted(axes.get_ylim())
      values = np.asarray(line.get_ydata(), float)
      if line.get_transform() == axes.transData:
        assert np.nanmin(values) >= low and np.nanmax(values) <= high


# The parts of a run with labels.
_PARTS = [name for name in figures.PARTS if name != 'perplexity']


@pytest.mark.parametrize(
  'names, num_labels', [(_PARTS, 3), (['f1', 'confusion'], 70)]
)
def test_panels_side_by_side_cut_and_cover_nothing(
  groups, drawn, names, num_labels
):
  labels = [*LABELS, *map(str, range(num_labels))][:num_labels]
  changed = {
    name: [
      dataclasses.replace(
        _record(x.config.seed, x.config.learning_rate, 0.5, labels),
        config=x.config,
      )
      for x in group
    ]
    for name, group in groups.items()
  }
  parts = [figures.panel_of(name, changed) for name in names]
  panels.write_panels(parts, 'run.png', ['DejaVu Sans'])
  _assert_nothing_is_cut_or_covered(drawn[0])


def test_bars_of_f1_have_the_range_of_the_seeds(groups):
  axes = Figure().subplots()
  figures.PARTS['f1'](axes, groups)
  first, second = (x for x in axes.containers if isinstance(x, BarContainer))
  assert [bar.get_width() for bar in first] == pytest.approx([0.9] * 3)
  assert [bar.get_width() for bar in second] == pytest.approx([0.7] * 3)
  (lines,) = second.errorbar.lines[2]
  for (x0, _), (x1, _) in lines.get_segments():
    assert (x0, x1) == pytest.approx((0.6, 0.9))
  (text, _) = (x.get_text() for x in axes.get_legend().get_texts())
  assert text == 'learning_rate=0.1, mean and range of 3 seeds'


@pytest.mark.parametrize('part', ['reliability', 'length'])
def test_points_have_the_range_of_the_seeds(groups, part):
  axes = Figure().subplots()
  figures.PARTS[part](axes, groups)
  bars = axes.containers[1]
  (segment,) = bars.lines[2][0].get_segments()
  assert segment[:, 1] == pytest.approx([0.6, 0.9])
  assert bars.lines[0].get_ydata() == pytest.approx([0.7])


def test_one_run_has_no_error_bars(groups):
  name, (first, *_) = next(iter(groups.items()))
  for part in ('f1', 'reliability', 'length'):
    axes = Figure().subplots()
    figures.PARTS[part](axes, {name: [first]})
    assert not axes.collections


def test_of_many_classes_the_worst_have_bars():
  labels = [f'class {i}' for i in range(70)]
  record = _record(0, 0.1, 0.9, labels)
  for label in labels[40:]:
    record.report['classes'][label]['f1'] = 0.1
  axes = Figure().subplots()
  figures.PARTS['f1'](axes, {'': [record]})
  names = [x.get_text() for x in axes.get_yticklabels()]
  assert len(names) == 60 and names[-30:] == labels[40:]
  assert axes.get_ylabel() == 'the worst 60 of 70 classes'


def test_a_comparison_cuts_and_covers_nothing(drawn):
  cells = [
    Cell(
      setting, seed, 0, {'accuracy': 0.9 + seed / 50}, {'accuracy': 0.9}, 1.0
    )
    for setting, num_seeds in ((f'embeddings={"long/" * 9}$x$', 3), ('b', 1))
    for seed in range(num_seeds)
  ]
  plots.save_comparison(compare_settings(cells, 'accuracy'), 'sweep.png')
  _assert_nothing_is_cut_or_covered(drawn[0])
  validation = drawn[0].axes[0].containers[0]
  with_interval, single = validation.lines[2][0].get_segments()
  assert np.isfinite(with_interval).all()
  assert not len(single)  # One run has no interval.


def test_the_bars_of_a_comparison_end_where_its_intervals_end(drawn):
  cells = [
    Cell('a', seed, 0, {'accuracy': accuracy}, {'accuracy': accuracy}, 1.0)
    for seed, accuracy in enumerate((0.9, 0.99, 0.999))
  ]
  compared = compare_settings(cells, 'accuracy')
  plots.save_comparison(compared, 'sweep.png')
  (((low, _), (high, _)),) = (
    drawn[0].axes[0].containers[0].lines[2][0].get_segments()
  )
  test = compared.settings['a'].test
  assert test.high == 1 and (low, high) == pytest.approx((test.low, 1))
