"""Signed weights as numbers, in a terminal, as plain text and as a picture."""

import pytest

from bigru_jax.reports.shades import colored, shades, signed

TEXT = 'A good, bad film'


def _answer(**fields):
  return {
    'label': 'pos',
    'probabilities': {'neg': 0.25, 'pos': 0.75},
    'tokens': ['a', 'good', ',', 'bad', 'film'],
    'spans': [[0, 1], [2, 6], [6, 7], [8, 11], [12, 16]],
    'attention': {'words': [[0.2] * 5]},
    'method': 'integrated_gradients',
    'explained_label': 'pos',
    'attribution': [0.0, 2.0, 0.1, -1.0, 0.3],
    **fields,
  }


def test_shades_are_the_attribution_over_its_largest():
  assert shades(_answer()) == pytest.approx([0, 1, 0.05, -0.5, 0.15])
  assert shades(_answer(attribution=[0.0] * 5)) == [0.0] * 5
  assert shades(_answer(attribution=[])) == []


def test_plain_text_has_signs():
  assert signed(TEXT, _answer()) == (
    'pos (0.75)\n+ speaks for pos, - against it (integrated gradients); the '
    'largest weight is 1\nA good[+1.00], bad[-0.50] film[+0.15]\n'
  )


def test_a_terminal_underlines_what_speaks_against_the_label():
  lines = colored(TEXT, _answer(explained_label='neg')).splitlines()
  assert lines[0] == 'pos (0.75)'
  assert lines[1] == (
    'blue speaks for neg (0.25), underlined orange against it (integrated '
    'gradients)'
  )
  plain = '\x1b[0m'
  assert lines[2] == (
    f'A \x1b[38;5;16;48;5;33mgood{plain}, '
    f'\x1b[4m\x1b[38;5;16;48;5;222mbad{plain} '
    f'\x1b[38;5;16;48;5;189mfilm{plain}'
  )


def test_attention_speaks_neither_for_nor_against():
  answer = _answer(method='attention', attribution=[0.2] * 5)
  assert colored(TEXT, answer).splitlines()[1] == 'blue shows the attention'
  del answer['attribution']  # A prediction.
  assert len(colored(TEXT, answer).splitlines()) == 2


def test_a_blank_text_is_called_empty():
  answer = _answer(tokens=[], spans=[], attribution=[])
  for text in ('', ' \n'):
    assert signed(text, answer).splitlines()[2:] == ['(empty text)']
    assert colored(text, answer).splitlines()[2:] == ['(empty text)']


def test_colours_keep_their_contrast():
  from bigru_jax.reports import shades
  from bigru_jax.reports.figures import heat_map

  def luminance(rgb):
    linear = [
      x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in rgb
    ]
    return sum(w * x for w, x in zip((0.2126, 0.7152, 0.0722), linear))

  def of_terminal(color):
    levels = [(color - 16) // 36, (color - 16) // 6 % 6, (color - 16) % 6]
    return [(x and 55 + 40 * x) / 255 for x in levels]

  backgrounds = [of_terminal(x) for x in (*shades._FOR, *shades._AGAINST)]
  for name in (heat_map._FOR, heat_map._AGAINST):
    rgb = [int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    alpha = heat_map._ALPHA
    backgrounds.append([alpha * x + 1 - alpha for x in rgb])
  for rgb in backgrounds:
    assert (luminance(rgb) + 0.05) / 0.05 >= 4.5


def test_a_picture_draws_both_signs(tmp_path):
  from bigru_jax.reports.figures.heat_map import write_heat_maps

  output = tmp_path / 'texts.svg'
  write_heat_maps(output, [TEXT, TEXT], [_answer(), _answer(label='neg')])
  content = output.read_text()
  assert content.count('#0072b2') >= 4 and content.count('#d55e00') >= 4


def test_a_picture_names_the_explained_label_and_a_blank_text():
  from matplotlib.figure import Figure

  from bigru_jax.reports.figures.heat_map import draw_heat_map

  axes = Figure().subplots()
  answer = _answer(explained_label='neg', spans=[], attribution=[])
  draw_heat_map(axes, ' ', answer, [])
  assert 'blue speaks for neg (0.25), ' in axes.get_title()
  assert [text.get_text() for text in axes.texts] == ['(empty text)']
