"""Writes a run as one HTML page that opens from disk and needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
import json
import pathlib
import re
import shlex
from typing import Any

from bigru_jax.config import Config
from bigru_jax.explain.predictions import check_supported
from bigru_jax.metrics import METRICS, shown
from bigru_jax.reports.page.baseline import (
  command_of_baseline,
  describe_baseline,
  find_baseline,
  interval_in,
)
from bigru_jax.reports.page.packing import pack_attributions, pack_texts
from bigru_jax.reports.page.shading import (
  Attribute,
  attributions_in,
  reading_order,
  weighted_sets,
  weights_of_sets,
)
from bigru_jax.reports.page.top import make_top, thresholds
from bigru_jax.reports.page.words import COSTS, WORDS
from bigru_jax.reports.records import (
  command_of,
  grouped_fields,
  learning_rates,
  read_diagnostics,
  read_metrics,
  read_object,
)
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.examples import WITHOUT_DATA, name_of_data
from bigru_jax.runtime.atomic import write_text

_SURROGATE = re.compile('[\ud800-\udfff]')  # These are not characters.
_FOLDER = pathlib.Path(__file__).parent
_SHADING = {'method', 'sentence', 'texts', 'table'}
_START = '<script type="application/json" id="data">'
_SCRIPTS = 'charts.js', 'run.js', 'texts.js', 'shading.js', 'top.js'
_STYLES = 'page.css', 'texts.css'
_SCORE_CURVES = {
  'title': 'Scores on validation',
  'yName': 'score',
  'names': [
    ('accuracy', 'accuracy'),
    ('F1, mean of the labels', 'macro_f1'),
  ],
}


def write_page(
  path: pathlib.Path,
  workdir: pathlib.Path,
  texts: Sequence[str],
  answers: Sequence[dict[str, Any]],
  golds: Sequence[Any],
  origins: Sequence[str],
  note: str,
  baseline: pathlib.Path | None = None,
  source: str = '',
  attribute: Attribute | None = None,
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
    baseline: the directory of a linear baseline of the same data; by default, a
      finished one beside the run directory.
    source: the name of what the texts are, or '' if they are the test split. A
      page of other texts does not show the scores on test.
    attribute: returns the attributions that a reader can choose. By default
      they are those of the answers, if they come from `Run.explain`.

  Raises:
    FileNotFoundError, ValueError: the run is not finished, or corrupt.
  """
  labels = run_files.read_labels(workdir)
  columns = pack_texts(texts, answers, golds, origins, labels)
  if attribute:
    attributions = attribute(reading_order(columns))
  else:
    attributions = attributions_in(answers)
  data = describe(workdir)
  attributions = {**weights_of_sets(answers, data['sets']), **attributions}
  columns['attributions'] = pack_attributions(answers, attributions)
  data |= {'note': note, 'source': source, 'texts': columns}
  write_text(path, render(data | _with_top(workdir, data, baseline)))


def _with_top(
  workdir: pathlib.Path, data: dict[str, Any], path: pathlib.Path | None
) -> dict[str, Any]:
  """Returns the `baseline` and the `top` of the data of a page."""
  baseline, source = data.get('baseline'), data['source']
  if data['tested'] and not (source or baseline):
    path = path or find_baseline(workdir)
    baseline = describe_baseline(workdir, path) if path else None
  top = make_top(workdir, data, data['texts'], baseline, source)
  return {'baseline': baseline, 'top': top}


def note_on_test(count: int, num_shown: int) -> str:
  """Returns a sentence on the number of test texts that a page shows."""
  if num_shown < count:
    return f'{num_shown:,} of the {count:,} texts of the test split.'
  return f'All {count:,} texts of the test split.'


def update_page(workdir: pathlib.Path) -> None:
  """Updates report.html, if it exists, from the run's other files.

  Its texts and baseline stay, so that nothing is predicted again.

  Raises:
    FileNotFoundError, ValueError: the run is not finished, or corrupt.
  """
  path = workdir / 'report.html'
  if path.exists():
    before = data_of(path)
    kept: dict[str, Any] = {'source': ''}
    for name in ('note', 'texts', 'baseline'):
      kept[name] = before.get(name)
    if kept['baseline'] and 'difference' not in kept['baseline']:
      kept['baseline'] = None  # That of an older version.
    data = describe(workdir) | kept
    write_text(path, render(data | _with_top(workdir, data, None)))


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
  costs = {key: result[key] for key in COSTS if key in result}
  diagnostics = read_diagnostics(workdir)
  return {
    'name': name,
    'version': result.get('version') or run_files.read_version(workdir),
    'finished': result.get('finished'),
    'is_multi_label': config.task == 'multi_label',
    'tested': scores
    and {
      'accuracy': scores['accuracy'],
      'examples': scores['examples'],
      'interval': interval_in(result),
    },
    'words': {name: (x.title, x.meaning) for name, x in METRICS.items()}
    | WORDS,
    'model': _model(config, result),
    'command': command_of(config) if has_data else None,
    'baseline_command': command_of_baseline(workdir, config)
    if has_data
    else None,
    'origin': WITHOUT_DATA.get(name),
    'config': grouped_fields(config),
    'labels': run_files.read_labels(workdir),
    'heads': config.head_names,
    'sets': weighted_sets(config),
    'thresholds': thresholds(workdir, config, diagnostics),
    'metrics': [
      (split, values)
      for split, values in (
        ('test', shown(scores, *choice)),
        ('validation', shown(result.get('validation', {}), *choice)),
        ('training', costs),
      )
      if values
    ],
    'intervals': result.get('intervals', {}).get('test', {}),
    'diagnostics': diagnostics,
    'curves': lines,
    'score_curves': _SCORE_CURVES,
    'best_epoch': result.get('best_epoch'),
    'learning_rate': learning_rates(config, lines) if lines else [],
    'report': result.get('test_report'),
    'ece': scores.get('ece'),
    'explain': _faithfulness(workdir),
    'shading': read_object(workdir, 'faithfulness.json', _SHADING),
    'untested': _untested(workdir, config, has_data),
  }


def _model(config: Config, result: dict[str, Any]) -> str:
  """Returns a sentence on the architecture."""
  encoder = 'bidirectional GRU'
  if config.model == 'hierarchical':
    encoder = 'hierarchical bidirectional GRU'
  elif config.encoder == 'average':
    encoder = 'layer for each token'
  pooling = config.pooling.replace('_', ' ').replace('+', ' + ')
  sizes = ''
  if 'parameters' in result:
    sizes = f', with {result["parameters"]:,} parameters'
  return f'The model is a {encoder} with {pooling} pooling{sizes}.'


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


def render(data: dict[str, Any], scripts: Sequence[str] = _SCRIPTS) -> str:
  """Returns the page of data for scripts, which it contains."""
  content = json.dumps(
    data, ensure_ascii=False, allow_nan=False, separators=(',', ':')
  )
  content = _SURROGATE.sub('\ufffd', content)
  # No text may end the script element that contains it, or a line of it.
  for character in '<\u2028\u2029':
    content = content.replace(character, f'\\u{ord(character):04x}')
  page = (_FOLDER / 'page.html').read_text('utf-8')
  for name, files in (('styles', _STYLES), ('scripts', scripts)):
    parts = [(_FOLDER / file).read_text('utf-8').strip() for file in files]
    page = page.replace('{{' + name + '}}', '\n'.join(parts), 1)
  before, after = page.split('{{data}}')
  return before + content + after
