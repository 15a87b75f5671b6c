"""The data of a page, before a browser reads it."""

import base64
import itertools
import json
import shutil
import string

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

import bigru_jax
from bigru_jax.reports.page import page
from bigru_jax.reports.page.packing import (
  pack_attributions,
  pack_texts,
  quantized,
)
from bigru_jax.reports.page.shading import reading_order, weighted_sets
from bigru_jax.reports.shades import colored, shades

LABELS = ['negative', 'positive']


def _answer(spans, weights, **other):
  return {
    'label': 'positive',
    'probabilities': {'negative': 0.25, 'positive': 0.75},
    'tokens': ['x'] * len(spans),
    'spans': spans,
    'truncated': False,
    'attention': {'words': weights},
    **other,
  }


def _spans(packed):
  """Unpacks the spans of a text as texts.js does."""
  numbers, value, shift = [], 0, 0
  for byte in base64.b64decode(packed):
    value |= (byte & 127) << shift
    shift += 7
    if byte < 128:
      numbers.append(value)
      value, shift = 0, 0
  spans, end, remaining = [], 0, iter(numbers)
  for number in remaining:
    length, gap = divmod(number, 4)
    start = end + gap + (next(remaining) if gap == 3 else 0)
    end = start + length
    spans.append([start, end])
  return spans


@pytest.mark.parametrize(
  'text, spans, packed',
  [
    ('a film', [[0, 1], [2, 6]], [[0, 1], [2, 6]]),
    # JavaScript counts two units.
    ('🎬 a', [[0, 1], [2, 3]], [[0, 2], [3, 4]]),
    (' ' * 300 + 'b' * 200, [[300, 500]], [[300, 500]]),
    ('a   b', [[0, 1], [4, 5]], [[0, 1], [4, 5]]),
  ],
)
def test_spans_are_unpacked_equal(text, spans, packed):
  answer = _answer(spans, [[1.0] * len(spans)])
  columns = pack_texts([text], [answer], ['positive'], ['x'], LABELS)
  assert _spans(columns['tokens'][0]) == packed


def test_a_token_without_a_span_adds_its_weight_to_the_previous_token():
  spans = [[0, 1], [1, 1], [1, 2]]
  answer = _answer(spans, [[0.2, 0.3, 0.5]], sentences=[2, 1])
  columns = pack_texts(['é!'], [answer], [None], ['x'], LABELS)
  assert _spans(columns['tokens'][0]) == [[0, 1], [1, 2]]
  assert columns['largest'][0] == [0.5]
  assert base64.b64decode(columns['weights'][0]) == b'\xff\xff'
  assert columns['sentences'][0] == [1, 1]


def test_an_empty_text_and_a_pooling_without_weights_are_packed():
  answer = _answer([[0, 0]], [[1.0]])
  columns = pack_texts([''], [answer], [None], ['x'], LABELS)
  assert columns['tokens'] == ['']
  bare = {**_answer([[0, 1]], []), 'attention': {}}
  columns = pack_texts(['a'], [bare], [None], ['x'], LABELS)
  assert columns['largest'] == [[]] and columns['weights'] == ['']
  assert pack_texts([], [], [], [], LABELS)['tokens'] == []


def test_labels_are_indices_and_predictions_are_right_or_wrong():
  answers = [_answer([[0, 1]], [[1.0]])] * 3
  golds = ['positive', 'negative', None]
  columns = pack_texts(['a'] * 3, answers, golds, ['x'] * 3, LABELS)
  assert columns['gold'] == [1, 0, None] and columns['right'] == [1, 0, None]
  assert columns['confidence'] == [0.75] * 3
  assert columns['probabilities'][0] == [1, 750, 0, 250]
  several = {**answers[0], 'label': ['positive'], 'attention_labels': LABELS}
  columns = pack_texts(['a'], [several], [[]], ['x'], LABELS)
  assert columns['right'] == [0] and columns['confidence'] == [0.75]
  assert columns['head_labels'] == [[0, 1]]


def test_weights_lose_less_than_a_hundredth():
  weights_KxT = np.random.default_rng(0).dirichlet(np.ones(30), 3)
  packed, largest = quantized(weights_KxT)
  found = np.frombuffer(base64.b64decode(packed), np.uint8).reshape(3, 30)
  again = found / 255 * np.array(largest)[:, None]
  np.testing.assert_allclose(again, weights_KxT, atol=0.01 * max(largest))


def test_attributions_keep_their_signs_and_belong_to_the_previous_token():
  answers = [
    _answer([[0, 1], [1, 1], [1, 2]], [[0.2, 0.3, 0.5]]),
    _answer([[0, 1]], [[1.0]]),
  ]
  of_texts = [np.array([0.5, 0.25, -1.5]), None]
  packed = pack_attributions(answers, {'leave_one_out': of_texts})
  assert packed['leave_one_out']['largest'] == [1.5, 0.0]
  content, missing = packed['leave_one_out']['weights']
  assert missing == ''
  numbers = np.frombuffer(base64.b64decode(content), np.int8) / 127 * 1.5
  np.testing.assert_allclose(numbers, [0.75, -1.5], atol=0.01)


def test_an_origin_of_the_same_file_is_its_number():
  origins = ['a, row 9', 'a, row 10', 'b, row 10', 'b, row 011', 'text', '7']
  answers = [_answer([[0, 1]], [[1.0]])] * len(origins)
  columns = pack_texts(['x'] * 6, answers, [None] * 6, origins, LABELS)
  expected = ['a, row 9', 10, 'b, row 10', 'b, row 011', 'text', '7']
  assert columns['place'] == expected


def test_the_examples_and_then_mistakes_and_typical_answers_come_first():
  count = 9
  columns = {
    'text': ['x'] * count,
    'gold': [1] * count,
    'prediction': [1, 0, 1, 0, 1, 1, 1, 0, 0],
    'right': [1, 0, 1, 0, 1, 1, 1, 0, 0],
    'confidence': [0.6, 0.7, 0.8, 0.9, 0.99, 0.81, 0.7, 0.6, 0.5],
  }
  order = reading_order(columns)
  assert sorted(order[:6]) == [1, 2, 3, 5, 6, 7] and order[6:] == [8, 4, 0]


def test_no_text_ends_the_script_element():
  data = {'x': '</script>\u2028<!--\ud800{{styles}}'}
  content = page.render(data)
  embedded = content.split(page._START, 1)[1].split('</script>', 1)[0]
  assert '<' not in embedded and '\u2028' not in embedded
  assert json.loads(embedded) == {'x': '</script>\u2028<!--\ufffd{{styles}}'}
  content.encode()
  assert 'http-equiv="Content-Security-Policy"' in content
  with pytest.raises(ValueError):
    page.render({'x': float('nan')})


def test_a_page_is_updated_with_later_results(run_directory, tmp_path):
  for path in run_directory.iterdir():
    if path.name != 'report.html':
      (tmp_path / path.name).symlink_to(path)
  page.update_page(tmp_path)
  assert not (tmp_path / 'report.html').exists()
  shutil.copy(run_directory / 'report.html', tmp_path)
  row = {'name': 'tau', 'value': 0.3, 'low': 0.2, 'high': 0.4, 'n': 9}
  explained = {'table': [row], 'attributions': {}}
  (tmp_path / 'explain-test.json').write_text(json.dumps(explained))
  page.update_page(tmp_path)
  old, new = (
    page.data_of(x / 'report.html') for x in (run_directory, tmp_path)
  )
  assert old['explain'] is None
  assert new['explain'] == {'split': 'test', **explained}
  assert new['texts'] == old['texts'] and len(new['texts']['text']) > 10
  (tmp_path / 'explain-test.json').write_text('[]')
  with pytest.raises(ValueError, match='explain-test.json contains no table'):
    page.update_page(tmp_path)
  (tmp_path / 'report.html').write_text('<p>mine</p>')
  with pytest.raises(ValueError, match='report.html is not the page of a run'):
    page.update_page(tmp_path)


def test_the_page_of_training_shows_what_predict_gives(run_directory):
  shown = page.data_of(run_directory / 'report.html')['texts']
  run = bigru_jax.load(run_directory)
  golds = [run.labels[c] for c in shown['gold']]
  places = list(
    itertools.accumulate(
      shown['place'],
      lambda before, place: (
        place
        if isinstance(place, str)
        else f'{before.rstrip(string.digits)}{place}'
      ),
    )
  )
  answers = run.predict(shown['text'])
  packed = pack_texts(shown['text'], answers, golds, places, run.labels)
  for name in ('tokens', 'prediction', 'right', 'truncated'):
    assert shown[name] == packed[name]
  np.testing.assert_allclose(
    shown['confidence'], packed['confidence'], atol=2e-4
  )
  np.testing.assert_allclose(shown['largest'], packed['largest'], rtol=0.01)
  lines = (run_directory / 'predictions-test.jsonl').read_text().splitlines()
  lines = [json.loads(line) for line in lines]
  assert places == [f'{x["source"]}, row {x["row"]}' for x in lines]


def test_the_page_of_a_run_shows_its_result(run_directory):
  found = page.describe(run_directory)
  result = json.loads((run_directory / 'result.json').read_text())
  bins = found['diagnostics']['reliability']
  count = sum(x['count'] for x in bins)
  assert count == result['test']['examples']
  gaps = [x['count'] * abs(x['accuracy'] - x['confidence']) for x in bins]
  assert sum(gaps) / count == pytest.approx(result['test']['ece'], abs=1e-6)
  right = sum(
    x['count'] * x['accuracy'] for x in found['diagnostics']['by_length']
  )
  assert right / count == pytest.approx(result['test']['accuracy'])
  lines = (run_directory / 'predictions-test.jsonl').read_text().splitlines()
  lines = [json.loads(line) for line in lines]
  (curve,) = found['diagnostics']['curves']
  calibration = json.loads((run_directory / 'calibration.json').read_text())
  assert curve['name'] == calibration['positive_label']
  is_positive = [x['label'] == curve['name'] for x in lines]
  scores = [x['probabilities'][curve['name']] for x in lines]
  for name, function in (
    ('roc_auc', sklearn_metrics.roc_auc_score),
    ('average_precision', sklearn_metrics.average_precision_score),
  ):
    # The stored probabilities have six decimals.
    expected = function(is_positive, scores)
    assert curve[name] == pytest.approx(expected, abs=1e-4)
  assert curve['point']['threshold'] == 0.5 and found['thresholds'] is None
  assert '--dataset=synthetic' in found['command']
  assert found['untested']['command'] == (
    f'bigru explain --workdir={run_directory} --split=test'
  )
  steps, rates = zip(*found['learning_rate'])
  assert steps[0] == 0 and max(rates) == pytest.approx(0.01, rel=0.05)


def test_the_shades_of_a_hierarchical_text_follow_the_paper():
  answer = _answer(
    [[0, 1], [1, 2], [2, 3]], [[0.5, 0.5, 1.0]], sentences=[2, 1],
  )  # fmt: skip
  answer['attention']['sentences'] = [[0.64, 0.36]]
  assert shades(answer) == pytest.approx([0.4 / 0.6, 0.4 / 0.6, 1])
  assert shades({**answer, 'attention': {}}) == []


def test_label_wise_attention_shows_the_head_of_the_label():
  answer = _answer(
    [[0, 1], [1, 2]], [[0.9, 0.1], [0.2, 0.8]], attention_labels=LABELS,
  )  # fmt: skip
  assert shades(answer) == pytest.approx([0.25, 1])
  assert shades({**answer, 'label': []}) == pytest.approx([1, 0.45 / 0.55])


def test_a_terminal_shows_control_characters_without_obeying_them():
  text = 'Good \x1b[2Jfilm'
  shown = colored(text, _answer([[0, 4], [5, 13]], [[0.99, 0.01]]))
  assert shown.startswith('positive (0.75)\n\x1b[38;5;16;48;5;33mGood\x1b[0m ')
  assert shown.endswith(' \ufffd[2Jfilm\n')


def test_files_of_vectors_with_the_same_name_have_their_folders():
  names = {'a/x.txt,b/y.txt': ['x.txt', 'y.txt'],
           'a/x.txt,b/x.txt': ['a/x.txt', 'b/x.txt']}  # fmt: skip
  for embeddings, expected in names.items():
    config = bigru_jax.Config(
      embeddings=embeddings, embedding_sizes='2,3', embeddings_join='meta'
    )
    assert weighted_sets(config) == [f'weight of {name}' for name in expected]
