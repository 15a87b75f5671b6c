"""The page of a run in a browser, as its reader uses it."""

import contextlib
import json
import os
import shutil
import time

import numpy as np
import pytest
from scripts import run_command

from bigru_jax.reports.page import sentences
from bigru_jax.reports.page.page import data_of, render, write_page

pytestmark = [
  pytest.mark.slow,
  pytest.mark.dev(
    'playwright.sync_api', 'axe_playwright_python.sync_playwright'
  ),
]
_BROWSERS = 'chromium', 'chromium-browser', 'google-chrome'
HOSTILE = (
  '</script><script>alert(1)</script><img src=x onerror=alert(2)> <!-- &'
)


@pytest.fixture(scope='module')
def browser():
  from playwright import sync_api

  path = next(filter(None, map(shutil.which, _BROWSERS)), None)
  if not path:
    pytest.skip('there is no Chromium')
  # Chromium's sandbox refuses to start as root.
  options = ['--no-sandbox'] if os.getuid() == 0 else []
  with sync_api.sync_playwright() as started:
    launched = started.chromium.launch(executable_path=path, args=options)
    yield launched
    launched.close()


@pytest.fixture
def opened(browser):
  """Opens a page from disk, and checks at the end that it had no errors."""
  errors = []
  with contextlib.ExitStack() as stack:

    def open_page(path, **options):
      page = browser.new_page(
        viewport={'width': 1200, 'height': 900}, **options
      )
      stack.callback(page.close)
      page.on('console', lambda x: errors.append(f'{x.type}: {x.text}'))
      page.on('pageerror', lambda error: errors.append(str(error)))
      page.on('dialog', lambda dialog: errors.append(dialog.message))
      page.on('request', lambda x: errors.extend(_elsewhere(x.url)))
      page.goto(path.as_uri())
      page.locator('#texts').scroll_into_view_if_needed()
      page.evaluate("document.getElementById('feed').scrollIntoView()")
      page.wait_for_selector('article')
      return page

    yield open_page
  assert not errors


def _until(page, expression):
  """Waits; Playwright's function needs eval, which the page forbids."""
  deadline = time.monotonic() + 20
  while not page.evaluate(expression):
    assert time.monotonic() < deadline, expression
    page.wait_for_timeout(50)


def _elsewhere(url):
  return [] if url.startswith(('file:', 'data:')) else [url]


def _answer(text, label, p, **other):
  """A prediction whose tokens are words; the longest has the most weight."""
  words = text.split()
  spans, place = [], 0
  for word in words:
    place = text.index(word, place)
    spans.append([place, place + len(word)])
    place += len(word)
  total = sum(map(len, words))
  return {
    'label': label,
    'probabilities': {label: p, _other(label): 1 - p},
    'tokens': words,
    'spans': spans,
    'truncated': False,
    'attention': {'words': [[len(word) / total for word in words]]},
    **other,
  }


def _other(label):
  return 'negative' if label == 'positive' else 'positive'


def _write(path, run_directory, texts, answers, golds, source=''):
  places = [f'texts.csv, row {i}' for i in range(2, len(texts) + 2)]
  write_page(
    path, run_directory, texts, answers, golds, places, 'Some texts.',
    source=source,
  )  # fmt: skip
  return path


def test_training_writes_a_page_that_filters_and_sorts(run_directory, opened):
  page = opened(run_directory / 'report.html')
  tokens = page.locator('article').first.locator('.t').all_inner_texts()
  text = page.locator('article').first.locator('.text').inner_text()
  assert text.split() == tokens and len(tokens) > 2
  lines = (run_directory / 'predictions-test.jsonl').read_text().splitlines()
  lines = [json.loads(line) for line in lines]
  wrong = [x for x in lines if x['label'] != x['prediction']]
  count = page.locator('#count')
  assert count.inner_text() == f'{len(lines)} of {len(lines)} texts'
  page.select_option('#verdict', 'wrong')
  assert count.inner_text() == f'{len(wrong)} of {len(lines)} texts'
  page.select_option('#verdict', 'right')
  page.select_option('#order', 'most_confident')
  page.select_option('#class', label='negative')
  page.wait_for_selector('article .verdict.right')
  shown = page.locator('article .answer').all_inner_texts()
  assert shown and all('prediction negative' in x for x in shown)
  largest = max(
    x['probabilities']['negative']
    for x in lines
    if x['label'] == x['prediction'] == 'negative'
  )
  assert f'probability {largest:.3f}' in shown[0]
  page.select_option('#class', '')
  page.select_option('#verdict', 'all')
  page.fill('#search', tokens[0].upper())
  _until(page, "document.querySelectorAll('article').length")
  for found in page.locator('article .text').all_inner_texts():
    assert tokens[0] in found
  page.fill('#search', 'no text has this')
  assert count.inner_text() == f'0 of {len(lines)} texts'


def test_the_page_shows_the_curves_with_the_point_of_the_threshold(
  run_directory, opened
):
  page = opened(run_directory / 'report.html')
  scores = json.loads((run_directory / 'diagnostics.json').read_text())
  (curve,) = scores['curves']
  for title, area in (
    ('ROC curve', 'roc_auc'),
    ('Precision and recall', 'average_precision'),
  ):
    figure = page.locator('figure', has_text=title).first
    assert f'{curve["name"]}: {curve[area]:.3f}' in figure.inner_text()
    assert figure.locator('path.line').count() == 1
    assert figure.locator('circle.best').count() == 1


def test_the_most_confident_mistakes_come_first(
  run_directory, opened, tmp_path
):
  texts = ['sure and right', 'unsure and wrong', 'sure and wrong']
  answers = [
    _answer(text, 'positive', p) for text, p in zip(texts, (0.99, 0.6, 0.9))
  ]
  golds = ['positive', 'negative', 'negative']
  page = opened(
    _write(tmp_path / 'x.html', run_directory, texts, answers, golds)
  )
  assert page.locator('article .text').all_inner_texts() == [
    texts[2], texts[1], texts[0],
  ]  # fmt: skip
  weights = page.locator('article').first.locator('.t')
  assert weights.nth(2).get_attribute('title') == 'attention 0.42'
  assert (
    weights.nth(2).evaluate("x => x.style.getPropertyValue('--a')") == '1.000'
  )
  assert 'Highest attention: wrong 0.42' in page.inner_text('article >> nth=0')


def test_the_page_is_light_or_dark_as_the_system_or_the_reader_chooses(
  run_directory, opened
):
  def background(page):
    return page.evaluate('getComputedStyle(document.body).backgroundColor')

  path = run_directory / 'report.html'
  light = opened(path, color_scheme='light')
  assert background(light) == 'rgb(255, 255, 255)'
  light.get_by_role('button', name='Dark').click()
  assert background(light) == 'rgb(20, 24, 29)'
  assert background(opened(path, color_scheme='dark')) == 'rgb(20, 24, 29)'


def test_the_top_says_how_good_the_model_is_and_shows_examples(
  run_directory, opened
):
  page = opened(run_directory / 'report.html')
  result = json.loads((run_directory / 'result.json').read_text())
  percent = sentences.percent(result['test']['accuracy']).replace(' ', '\xa0')
  assert page.inner_text('h1') == 'Model trained on synthetic'
  assert f'it is right on {percent} (95' in page.inner_text('#quality .prose')
  bars = page.locator('#quality .shares li').all_inner_texts()
  assert 'This model' in bars[0] and percent in bars[0]
  assert 'Always answering' in bars[1]
  right = page.locator('#examples .card').all_inner_texts()
  assert len(right) == 3 and all('✓ right' in text for text in right)
  wrong = page.locator('#failures .card')
  assert wrong.count() > 0
  first = wrong.first.locator('.text').inner_text()
  page.click('#all-mistakes')
  assert page.input_value('#verdict') == 'wrong'
  page.wait_for_selector('article .verdict.wrong')
  assert first in page.locator('article .text').all_inner_texts()


def test_each_measure_has_its_meaning_a_click_or_a_key_away(
  run_directory, opened
):
  page = opened(run_directory / 'report.html')
  term = page.locator('#metrics details', has_text='Accuracy').first
  meaning = 'The share of texts whose prediction is right.'
  assert meaning not in page.inner_text('#metrics')
  term.locator('summary').focus()
  page.keyboard.press('Enter')
  assert meaning in page.inner_text('#metrics')
  term.locator('summary').click()
  assert meaning not in page.inner_text('#metrics')
  # No name of a field is a label.
  page.click('text=Full configuration')
  labels = page.locator('th, dt, label, summary, figcaption, h2, h3')
  assert not [x for x in labels.all_inner_texts() if '_' in x]


def test_a_page_of_other_texts_names_them_and_shows_no_scores_of_the_test(
  run_directory, opened, tmp_path
):
  texts = ['a good film', 'a film that is not bad']
  answers = [_answer(text, 'positive', 0.8) for text in texts]
  for golds, heading in (
    (['positive', 'negative'], 'How good is it?'),
    ([None, None], 'What does it answer?'),
  ):
    is_labelled = golds[0] is not None
    page = opened(
      _write(tmp_path / 'x.html', run_directory, texts, answers, golds, 'x.csv')
    )
    assert page.inner_text('h1') == 'Answers for the texts of x.csv'
    assert page.inner_text('#quality h2') == heading
    number = 'One typical answer' if is_labelled else 'Two answers'
    assert page.inner_text('#examples h2') == number
    orders = page.locator('#order option').all_inner_texts()
    assert ('most confident mistakes first' in orders) == is_labelled
    for hidden in ('#scores', '#training', '#metrics'):
      assert not page.is_visible(hidden)
  assert not page.is_visible('#trust')


@pytest.mark.parametrize('width', [390, 1100, 1280])
def test_no_page_is_wider_than_its_window(run_directory, opened, width):
  page = opened(run_directory / 'report.html')
  page.set_viewport_size({'width': width, 'height': 800})
  assert page.evaluate('document.documentElement.scrollWidth') <= width


@pytest.mark.parametrize(
  'scheme, width', [('light', 390), ('light', 1100), ('dark', 1280)]
)
def test_axe_finds_no_serious_fault(
  run_directory, opened, tmp_path, scheme, width
):
  from axe_playwright_python import sync_playwright as axe

  for name in os.listdir(run_directory):
    os.symlink(run_directory / name, tmp_path / name)
  row = {'name': 'tau', 'value': 0.3, 'low': 0.2, 'high': 0.4, 'n': 100,
         'paper': 'A paper, https://example.org'}  # fmt: skip
  (tmp_path / 'explain-test.json').write_text(
    json.dumps({'table': [row], 'attributions': {'gradient': {'aopc': 0.1}}})
  )
  texts = ['a good film', 'a film that is not bad']
  answers = [_answer(text, 'positive', 0.8) for text in texts]
  golds = ['positive', 'negative']
  path = _write(tmp_path / 'x.html', tmp_path, texts, answers, golds)
  page = opened(path, color_scheme=scheme)
  page.set_viewport_size({'width': width, 'height': 900})
  assert '0.200 to 0.400' in page.inner_text('#faithful')
  page.evaluate(
    "document.querySelectorAll('details').forEach(x => x.open = true)"
  )
  found = axe.Axe().run(page).response['violations']
  assert [
    x['id'] for x in found if x['impact'] in ('serious', 'critical')
  ] == []


def test_a_hostile_text_stays_text(run_directory, opened, tmp_path):
  texts = [HOSTILE, 'İ \u2028 🎬film\x00 \ud800 好']
  answers = [_answer(text, 'positive', 0.8) for text in texts]
  path = _write(tmp_path / 'x.html', run_directory, texts, answers, [None] * 2)
  page = opened(path)
  first, second = page.locator('article').all()
  assert first.locator('.text').text_content() == HOSTILE
  assert first.locator('.t').all_text_contents() == HOSTILE.split()
  # Offsets are right beside characters of two UTF-16 units.
  shown = second.locator('.t').all_text_contents()
  assert shown[1:] == ['🎬film\x00', '\ufffd', '好']
  assert not page.locator('#verdict').count()  # There are no labels.


def test_texts_are_drawn_when_they_are_scrolled_to(
  run_directory, opened, tmp_path
):
  texts = [
    f'{"a rather long film " * (i % 30)}number {i}' for i in range(20_000)
  ]
  answers = [_answer(text, 'positive', 0.8) for text in texts]
  golds = ['positive', 'negative'] * 10_000
  path = _write(tmp_path / 'x.html', run_directory, texts, answers, golds)
  page = opened(path)
  page.select_option('#order', 'given')
  for place, number in (('1', '19999'), ('0', '0'), ('.5', '')):
    page.evaluate(f'scrollTo(0, {place} * document.body.scrollHeight)')
    page.wait_for_timeout(300)
    page.evaluate(f'scrollTo(0, {place} * document.body.scrollHeight)')
    page.evaluate(
      f"({place}) || document.getElementById('feed').scrollIntoView()"
    )
    _until(
      page,
      "[...document.querySelectorAll('article')].some((x) => {"
      ' const {top, bottom} = x.getBoundingClientRect();'
      ' return bottom > 0 && top < innerHeight; })',
    )
    shown = page.locator('article .text').all_inner_texts()
    assert 0 < len(shown) <= 400
    assert (
      any(text.endswith(f'number {number}') for text in shown) or not number
    )
  page.fill('#search', 'number 12345')
  _until(
    page,
    "document.getElementById('count').textContent.startsWith('1 of 20,000')",
  )


def test_a_head_can_be_chosen_and_sentences_are_shown(
  run_directory, opened, tmp_path
):
  text = 'One two. Three four.'
  words = [[0.9, 0.1, 0.5, 0.5], [0.1, 0.9, 0.2, 0.8]]
  answer = _answer(
    text, 'positive', 0.8, sentences=[2, 2],
    attention={'words': words, 'sentences': [[0.25, 0.75], [0.5, 0.5]]},
  )  # fmt: skip
  page = opened(
    _write(tmp_path / 'x.html', run_directory, [text], [answer], ['positive'])
  )
  assert page.locator('article .sentence .weight').all_inner_texts() == [
    '0.38',
    '0.63',
  ]
  titles = [x.get_attribute('title') for x in page.locator('article .t').all()]
  assert titles[0] == 'attention 0.50'
  page.select_option('#head', label='head 2')
  page.wait_for_selector('article .t[title="attention 0.10"]')
  assert page.locator('article .sentence .weight').all_inner_texts() == [
    '0.50',
    '0.50',
  ]


def test_the_most_faithful_shades_have_signs_and_others_can_be_chosen(
  run_directory, opened, tmp_path
):
  for name in os.listdir(run_directory):
    (tmp_path / name).symlink_to(run_directory / name)
  chosen = json.loads((run_directory / 'faithfulness.json').read_text())
  (tmp_path / 'faithfulness.json').unlink()
  (tmp_path / 'faithfulness.json').write_text(
    json.dumps({**chosen, 'method': 'leave_one_out'})
  )
  texts = ['good, not bad', 'fine film']
  answers = [_answer(text, 'positive', 0.8) for text in texts]
  attributions = {
    'integrated_gradients': [np.array([1.0, 0.5, -2.0]), np.ones(2)],
    'leave_one_out': [np.array([0.25, -0.5, 0.01]), None],
  }
  path = tmp_path / 'page.html'
  write_page(
    path,
    tmp_path,
    texts,
    answers,
    ['positive', 'negative'],
    ['texts.csv, row 2', 'texts.csv, row 3'],
    'Some texts.',
    attribute=lambda order: attributions,
  )
  page = opened(path)
  assert chosen['sentence'] in page.inner_text('#shading')
  assert page.input_value('#method') == 'leave_one_out'
  page.select_option('#order', 'given')
  first, second = (page.locator(f'article[data-i="{i}"]') for i in (0, 1))
  first.wait_for()
  assert 'texts.csv, row 3' in second.inner_text()
  assert 'For positive: good, +0.25' in first.inner_text()
  assert 'Against positive: not −0.50' in first.inner_text()
  against = first.locator('.t.against')
  assert against.all_inner_texts() == ['not']
  assert against.get_attribute('title') == 'leaving each word out −0.50'
  assert 'shaded by attention, since' in second.inner_text()
  assert not page.is_visible('#head-label')
  page.select_option('#method', 'integrated_gradients')
  page.wait_for_selector('.t[title="integrated gradients −2.0"]')
  assert 'For positive: fine' in second.inner_text()
  page.select_option('#method', 'attention')
  page.wait_for_selector('.t[title^="attention 0."]')
  assert not page.locator('.t.against').count()
  assert 'Highest attention' in first.inner_text()


def test_a_page_of_explanations_says_which_label_the_words_speak_for(
  run_directory, opened, tmp_path
):
  answer = _answer('good film', 'positive', 0.8) | {
    'attribution': [-0.2, 1.0], 'explained_label': 'negative',
  }  # fmt: skip
  for method, words in (
    ('integrated_gradients', 'blue words speak for “negative”'),
    ('gradient', 'as measured by gradient.'),
    ('attention', 'as measured by attention.'),
  ):
    path = _write(
      tmp_path / f'{method}.html', run_directory, ['good film'],
      [{**answer, 'method': method}], [None], 'texts.csv',
    )  # fmt: skip
    page = opened(path)
    assert words in page.inner_text('#shades-in-words')
    card = page.inner_text('#examples .card')
    options = page.locator('#method option').all_inner_texts()
    assert len(set(options)) == len(options)
    is_signed = method == 'integrated_gradients'
    assert ('for the label' in page.inner_text('#legend')) == is_signed
    article = page.inner_text('article')
    assert ('Against negative: good −0.20' in article) == is_signed
    assert ('Shaded for: negative' in card) == is_signed
    assert ('Highest' in article) != is_signed


def test_with_several_labels_each_card_names_that_of_its_shades(
  run_directory, opened, tmp_path
):
  texts = ['good film', 'odd film', ' ']
  answers = [
    _answer(text, 'positive', 0.6)
    | {'label': label, 'attribution': weights, 'explained_label': explained}
    | {'method': 'integrated_gradients'}
    for text, label, weights, explained in (
      (texts[0], ['positive', 'negative'], [0.2, 1.0], 'positive'),
      (texts[1], [], [-0.2, -1.0], 'negative'),
      (texts[2], [], [-1.0], 'negative'),
    )
  ]
  answers[2] |= {
    'tokens': ['<unk>'], 'spans': [[0, 0]], 'attention': {'words': [[1.0]]},
  }  # fmt: skip
  path = _write(
    tmp_path / 'x.html', run_directory, texts, answers, [None] * 3, 'texts.csv'
  )
  path.write_text(render(data_of(path) | {'is_multi_label': True}))
  page = opened(path)
  words = 'blue words speak for the label named with each text, and orange'
  assert words in page.inner_text('#shades-in-words')
  cards = page.locator('#examples .card').all_inner_texts()
  both, none, blank = sorted(cards, key=lambda x: ('no' in x, '(' in x))
  assert 'Shaded for: positive' in both
  assert 'no label' in none and 'Shaded for: negative' in none
  assert '(empty text)' in blank and 'Shaded' not in blank
  assert 'in log odds of the label' in page.inner_text('#legend')


def test_a_bin_without_right_answers_has_a_mark(
  run_directory, opened, tmp_path
):
  data = data_of(run_directory / 'report.html')
  bins = [
    {'low': k / 2, 'high': k / 2 + 0.5, 'count': 2 + k, 'confidence': 0.5,
     'accuracy': float(k)}
    for k in range(2)
  ]  # fmt: skip
  data['diagnostics'] |= {'reliability': bins, 'by_length': bins}
  path = tmp_path / 'x.html'
  path.write_text(render(data))
  page = opened(path)
  figures = page.locator('#figures figure')
  for title in ('Reliability', 'Length and accuracy'):
    bars = figures.filter(has_text=title).locator('svg .bar').all()
    assert len(bars) == 2
    assert all(bar.bounding_box()['height'] >= 2 for bar in bars)
  assert 'each bar has 2 to 3 texts' in page.inner_text('#figures')


@pytest.mark.parametrize('width', [390, 500, 1280])
def test_a_command_does_not_end_a_line_within_its_hyphens(
  run_directory, opened, width
):
  page = opened(run_directory / 'report.html')
  page.set_viewport_size({'width': width, 'height': 800})
  command = data_of(run_directory / 'report.html')['baseline_command']
  code = page.locator('#quality code')
  assert code.text_content() == command
  # A word that fits into a line has one line.
  heights = code.locator('.word').evaluate_all(
    'all => all.filter(x => x.textContent.length < 20)'
    '.map(x => x.getClientRects().length + x.offsetHeight)'
  )
  assert heights and len(set(heights)) == 1


def test_the_script_writes_a_page_of_other_texts(
  run_directory, opened, tmp_path
):
  source, output = tmp_path / 'in.csv', tmp_path / 'out.html'
  source.write_text('text,mood\nA GOOD film,negative\nIt was dull,negative\n')
  flags = [f'--workdir={run_directory}', f'--output={output}']
  done = run_command(
    'report', *flags, f'--input={source}', '--label_column=mood'
  )
  assert done.returncode == 0, done.stderr
  page = opened(output)
  assert page.locator('article .verdict').all_inner_texts() == [
    '✗ wrong',
    '✓ right',
  ]
  assert page.locator('article .t').first.inner_text() == 'A'
  assert 'was not tested for this run' in page.inner_text('#faithful')
  source.write_text('text,mood\nA GOOD film,odd\n')
  done = run_command(
    'report', *flags, f'--input={source}', '--label_column=mood'
  )
  assert done.returncode == 2
  assert "row 2: the run does not know the label 'odd'" in done.stderr
