"""Small runs with random parameters, which have no directory."""

import pathlib
import random

import jax
import numpy as np

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.text import MARKERS
from bigru_jax.data.tokenizer import VocabularyTokenizer
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.inference.run import Run
from bigru_jax.models.build import init_params, make_classifier
from bigru_jax.tasks import make_task

WORDS = [f'word{i}' for i in range(20)]
SMALL = {'max_length': 70, 'max_sentences': 12, 'max_sentence_length': 5}


def make_run(labels='xyz', unseen=None, seed=0, **fields):
  """A run with random parameters, which has no directory."""
  config = Config(
    embedding_size=4, hidden_size=3, num_heads=2, **SMALL, **fields
  )
  tokenizer = VocabularyTokenizer('words', ['<pad>', '<unk>', *MARKERS, *WORDS])
  labels = list(labels)
  task = make_task(config, labels)
  model = make_classifier(config, tokenizer.size, task.num_outputs)
  rng = np.random.default_rng(seed)
  params = jax.tree.map(
    lambda x: rng.normal(0, 1, x.shape).astype(np.float32),
    jax.eval_shape(lambda: init_params(model, 0)),
  )
  thresholds = (0.4,) * len(labels) if config.task == 'multi_label' else ()
  return Run(
    workdir=pathlib.Path(), config=config, labels=labels, tokenizer=tokenizer,
    task=task, model=model, params=params, mesh=parallel.local_mesh(),
    calibration=Calibration(1.5, thresholds), unseen=unseen,
  )  # fmt: skip


def make_texts(run):
  """Texts of 1 to 100 words, of which the longest are truncated."""
  rng = random.Random(0)
  texts = []
  for count in (1, 2, 20, 31, 32, 33, 60, 64, 100):
    words = [rng.choice([*WORDS, 'other']) for _ in range(count)]
    words[5::7] = ['Ends .' for _ in words[5::7]]
    texts.append(' '.join(words))
  if run.config.pooling_entry.needs_entities:
    return [f'<e1>word1</e1> <e2>It\u2019s</e2> {text}' for text in texts]
  return [*texts, '', 'e\u0301t\u00e9 \u597d!']
