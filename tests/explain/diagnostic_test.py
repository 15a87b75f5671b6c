"""The diagnostic MLP on data whose label only the attention reveals."""

import jax
import numpy as np

from bigru_jax.data.encode import make_split
from bigru_jax.data.ragged import pack
from bigru_jax.explain import diagnostic
from bigru_jax.explain.predictions import TrainedModel
from bigru_jax.models.classifier import Classifier
from bigru_jax.tasks import SingleLabel


def _split(rng, count):
  """The first token is the label; the others hide it in a balanced bag."""
  labels = rng.integers(0, 2, count).astype(np.int32)
  noise = rng.integers(4, 10, (count, 3))
  texts = [[2 + y, 3 - y, *of_text] for y, of_text in zip(labels, noise)]
  return make_split(pack(texts), labels, 2)


def _at_the_first(trained, batch):
  del trained
  tokens = batch['tokens']
  first_T = np.arange(tokens.shape[1]) == 0
  return np.broadcast_to(
    first_T.astype(np.float32), (len(tokens), 1, tokens.shape[1])
  )


def test_attention_that_tells_the_label_guides_the_mlp_best(monkeypatch):
  monkeypatch.setattr(TrainedModel, 'attention_weights', _at_the_first)
  rng = np.random.default_rng(0)
  model = Classifier(10, 2, 8, 16)
  train, test = _split(rng, 128), _split(rng, 200)
  variables = model.init(jax.random.key(0), train.batch(np.arange(8), 8, 8))
  trained = TrainedModel(model, SingleLabel(2), variables['params'])
  table_VxE = rng.normal(size=(10, 8)).astype(np.float32)
  correct = diagnostic.accuracies(
    trained, train, test, table_VxE, epochs=30, batch_size=16
  )
  accuracy = {name: found.mean() for name, found in correct.items()}
  assert accuracy['model'] > 0.95
  # Neither a mean nor weights by the token alone know which token is the first.
  assert accuracy['uniform'] < 0.65 and accuracy['own'] < 0.65
