"""The table of faithfulness in the documentation, and what it measures."""

import json
import shutil

import jax
import numpy as np
from scripts import ROOT, run_command
from small_models import TEXTS, make_batch, make_model, probabilities_of

from bigru_jax.explain.attributions import ATTRIBUTIONS
from experiments.papers import faithfulness


def test_the_table_of_faithfulness(tmp_path):
  page = ROOT / 'docs' / 'explanations.md'
  copy = tmp_path / 'page.md'
  shutil.copy(page, copy)
  done = run_command('faithfulness', f'--page={copy}')
  assert done.returncode == 0, done.stderr
  # Where it fails: python experiments/faithfulness.py
  assert copy.read_text() == page.read_text()
  seeds = [
    {
      'leave_one_out': {
        'comprehensiveness': x, 'sufficiency': 0.1, 'area': 0.5,
      }
    }
    for x in (0.3, 0.2, 0.4)
  ]  # fmt: skip
  (tmp_path / 'imdb.json').write_text(json.dumps({'seeds': seeds}))
  done = run_command('faithfulness', f'--page={copy}', f'--results={tmp_path}')
  (line,) = [x for x in done.stdout.splitlines() if x.startswith('| IMDB')]
  assert line == (
    '| IMDB | leaving each word out | 0.30 (0.20 to 0.40) | 0.10 (0.10 to 0.10)'
    ' | 0.50 (0.50 to 0.50) |'
  )
  assert line in copy.read_text()
  (tmp_path / 'imdb.json').write_text('[]')
  done = run_command('faithfulness', f'--page={copy}', f'--results={tmp_path}')
  assert done.returncode == 2 and 'imdb.json is not a file of' in done.stderr


def test_the_area_is_the_mean_drop_of_texts_that_lose_their_top_tokens():
  trained, texts = make_model(), [text for text in TEXTS if len(text) > 2]
  batch = make_batch(texts)
  results = faithfulness._measure(trained, batch, jax.random.key(0))
  classes = trained.classes(trained.probabilities(batch))
  weights = ATTRIBUTIONS['leave_one_out'](trained, batch, classes)
  for i, text in enumerate(texts):
    order = np.argsort(-weights[i, : len(text)], stable=True)
    parts = [text]
    for tenths in range(1, 11):
      top = order[: -(-tenths * len(text) // 10)]
      parts.append([x for t, x in enumerate(text) if t not in top])
    p = probabilities_of(trained, make_batch(parts))[:, classes[i]]
    area = results['leave_one_out: area'][i]
    np.testing.assert_allclose(area, (p[0] - p[1:]).mean(), atol=1e-5)
