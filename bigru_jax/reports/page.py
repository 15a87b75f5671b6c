"""Writes a run as one HTML page that opens from disk and needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
import pathlib
import re
import shlex
from typing import Any

from bigru_jax.config import Config
from bigru_jax.evaluation.calibration import read_calibration
from bigru_jax.explain.predictions import check_supported
from bigru_jax.metrics import shown
from bigru_jax.reports.packing import pack_texts
from bigru_jax.reports.records import (
  command_of,
  grouped_fields,
  learning_rates,
  read_diagnostics,
  read_metrics,
  read_object,
)
from bigru_jax.reports.tables import summary
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.examples import WITHOUT_DATA, name_of_data
from bigru_jax.runtime.atomic import write_text

_SURROGATE = re.compile('[\ud800-\udfff]')  # These are not characters.
_FOLDER = pathlib.Path(__file__).parent
_START = '<script type="application/json" id="data">'
_PARTS = ('page.css', 'page_charts.js', 'page_run.js', 'page_texts.js')


def write_page(
  path: pathlib.Path,
  workdir: pathlib.Path,
  texts: Sequence[str],
  answers: Sequence[dict[str, Any]],
  golds: Sequence[Any],
  origins: Sequence[str],
  note: str,
  baseline: Mapping[str, Any] | None = None,
) -> None:
  """Writes the page of a finished run, completely or not at all.

  Above the attention, the page shows the faithfulness from
  `explain-<split>.json`, or that it was not tested.

  Args:
    path: the .html file.
    workdir: the run directory.
    texts: the texts to show.
    answers: their predictions, from `Run.predict`.
    golds: the label or labels of each text, or None if it has none.
    origins: the origin of each text.
    note: a sentence that describes the texts.
    baseline: the test metrics of a linear baseline, to show beside the run's.

  Raises:
    FileNotFoundError, ValueError: the run is not finished, or corrupt.
  """
  data = describe(workdir)
  data['note'], data['baseline'] = note, baseline
  data['texts'] = pack_texts(texts, answers, golds, origins, data['labels'])
  write_text(path, render(data))


def note_on_test(count: int, num_shown: int) -> str:
  """Returns a sentence on the number of test texts that a page shows."""
  if num_shown < count:
    return f'{num_shown} of the {count} texts of the test split.'
  return f'All {count} texts of the test split.'


def update_page(workdir: pathlib.Path) -> None:
  """Updates report.html, if it exists, from the run's other files.

  Its texts and baseline stay, so that nothing is predicted again.

  Raises:
    FileNotFoundError, ValueError: the run is not finished, or corrupt.
  """
  path = workdir / 'report.html'
  if path.exists():
    before = data_of(path)
    kept = {name: before.get(name) for name in ('note', 'texts', 'baseline')}
    write_text(path, render(describe(workdir) | kept))


def data_of(path: pathlib.Path) -> dict[str, Any]:
  """Returns the data of a page.

  Raises:
    ValueError: the file is not the page of a run.
  """
  try:
    content = path.read_text('utf-8').split(_START, 1)[1]
    data = json.loads(content.split('</script>', 1)[0])
    if not {'note', 'texts'} <= data.keys():
      raise ValueError('it has no texts')
  except (OSError, IndexError, AttributeError, ValueError) as error:
    raise ValueError(f'{path} is not the page of a run: {error}') from error
  return data


def describe(workdir: pathlib.Path) -> dict[str, Any]:
  """Returns the data of a page except for its texts.

  The directory is that of a finished run, or of a converted or published model.

  Raises:
    FileNotFoundError, ValueError: the run is not finished, or corrupt.
  """
  config = run_files.read_config(workdir)
  result: dict[str, Any] = {}
  lines, name = [], name_of_data(workdir, config)
  if name not in ('converted', 'published'):
    result, lines = run_files.read_result(workdir), read_metrics(workdir)
  has_data = name not in WITHOUT_DATA
  scores, choice = result.get('test', {}), (config.metrics, config.select_by)
  costs = {
    key: result[key]
    for key in (
      'best_epoch', 'parameters', 'train_seconds', 'compile_seconds',
      'examples_per_second', 'tokens_per_second', 'temperature',
    )
    if key in result
  }  # fmt: skip
  kind = 'hierarchical ' if config.model == 'hierarchical' else ''
  return {
    'title': f'{name}: {kind}BiGRU with pooling={config.pooling}',
    'summary': summary(scores) if scores else 'It was not tested here.',
    'command': command_of(config) if has_data else None,
    'origin': WITHOUT_DATA.get(name),
    'config': grouped_fields(config),
    'labels': run_files.read_labels(workdir),
    'decision': _decision(workdir, config),
    'metrics': [
      (split, values)
      for split, values in (
        ('test', shown(scores, *choice)),
        ('validation', shown(result.get('validation', {}), *choice)),
        ('training', costs),
      )
      if values
    ],
    'diagnostics': read_diagnostics(workdir),
    'curves': lines,
    'best_epoch': result.get('best_epoch'),
    'learning_rate': learning_rates(config, lines) if lines else [],
    'report': result.get('test_report'),
    'ece': scores.get('ece'),
    'explain': _faithfulness(workdir),
    'untested': _untested(workdir, config, has_data),
  }


def _decision(workdir: pathlib.Path, config: Config) -> str | None:
  """Returns a sentence on the threshold of two classes, if it was chosen."""
  labels = run_files.read_labels(workdir)
  calibration = read_calibration(workdir, labels, config.task)
  if config.task == 'multi_label' or not calibration.thresholds:
    return None
  return (
    f'The prediction is {calibration.positive_label} where its probability is '
    f'at least {calibration.thresholds[0]:.3f}, the threshold with the best '
    f'{config.threshold_metric} on validation, so it may be the less probable '
    'label.'
  )


def _untested(
  workdir: pathlib.Path, config: Config, has_data: bool
) -> dict[str, str]:
  """Returns a `note` on untested attention, and the `command` to test it."""
  if not has_data:
    return {'note': 'bigru explain has no access to the data of this run.'}
  try:
    check_supported(config)
  except ValueError as error:
    return {'note': f'The published tests do not apply: {error}.'}
  command = shlex.join(
    ['bigru', 'explain', f'--workdir={workdir}', '--split=test']
  )
  return {'note': 'This command tests it:', 'command': command}


def _faithfulness(workdir: pathlib.Path) -> dict[str, Any] | None:
  """Returns the tests of faithfulness on test, or else on validation."""
  for split in ('test', 'validation'):
    explanation = read_object(workdir, f'explain-{split}.json', {'table'})
    if explanation:
      return {
        'split': split,
        'table': explanation['table'],
        'attributions': explanation.get('attributions', {}),
      }
  return None


def render(data: dict[str, Any]) -> str:
  """Returns the page of data for `page_run.js` and `page_texts.js`."""
  content = json.dumps(
    data, ensure_ascii=False, allow_nan=False, separators=(',', ':')
  )
  content = _SURROGATE.sub('\ufffd', content)
  # No text may end the script element that contains it, or a line of it.
  for character in '<\u2028\u2029':
    content = content.replace(character, f'\\u{ord(character):04x}')
  page = (_FOLDER / 'page.html').read_text('utf-8')
  for name in _PARTS:
    part = (_FOLDER / name).read_text('utf-8')
    page = page.replace('{{' + name + '}}', part.strip(), 1)
  before, after = page.split('{{data}}')
  return before + content + after
