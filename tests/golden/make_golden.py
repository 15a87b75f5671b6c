"""Writes the golden files: the results of PyTorch and Captum on small inputs.

pip install -e '.[test,compare]'
PYTHONPATH=.:tests/interop python tests/golden/make_golden.py
"""

from captum.attr import IntegratedGradients
from golden import FOLDER
import numpy as np
import torch
from torch_programs import Classifier, additive, arrays

from bigru_jax.explain.attributions import STEPS

BATCH, TIME, INPUT, HIDDEN, LAYERS = 4, 7, 5, 6, 2
LENGTHS = [7, 1, 4, 6]
# The third represents an empty text: its only token is unknown.
TEXTS = [[0, 2, 5], [6, 1, 4, 5, 1, 0, 5], [1], [4]]


def gru():
  """The outputs and gradients of `torch.nn.GRU` on ragged input."""
  torch.manual_seed(0)
  gru = torch.nn.GRU(
    INPUT, HIDDEN, LAYERS, bidirectional=True, batch_first=True
  )
  x = torch.randn(BATCH, TIME, INPUT, requires_grad=True)
  weight = torch.randn(BATCH, TIME, 2 * HIDDEN)
  packed = torch.nn.utils.rnn.pack_padded_sequence(
    x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False
  )
  output, _ = torch.nn.utils.rnn.pad_packed_sequence(
    gru(packed)[0], batch_first=True, total_length=TIME
  )
  (output * weight).sum().backward()
  tensors = {
    'x': x,
    'lengths': torch.tensor(LENGTHS),
    'loss_weight': weight,
    'output': output,
    'grad/x': x.grad,
  }
  for name, parameter in gru.named_parameters():
    tensors[f'param/{name}'] = parameter
    tensors[f'grad/{name}'] = parameter.grad
  return {name: x.detach().numpy() for name, x in tensors.items()}


def classifier(attention, outputs):
  """A classifier's state dict, and its logits for `TEXTS`.

  With several outputs also the integrated gradients [B, T] of the log-odds of
  the classes of the texts.
  """
  program = Classifier(attention, outputs)
  with torch.no_grad():
    for parameter in program.parameters():
      parameter *= 2  # As large as those of a trained model.
    program.embedding.weight[3] = 9.0  # Padding, which nothing reads.
  lengths = torch.tensor([len(text) for text in TEXTS])
  tokens = torch.full((len(TEXTS), lengths.max()), 3)
  for row, text in zip(tokens, TEXTS):
    row[: len(text)] = torch.tensor(text)
  results = {'tokens': tokens, 'lengths': lengths}
  results['logits'] = program(tokens, lengths).detach()
  if outputs > 1:
    results['classes'] = torch.arange(len(TEXTS)) % outputs
    results['integrated_gradients'] = torch.zeros(tokens.shape)
    for i, text in enumerate(TEXTS):
      x = program.embedding(tokens[i : i + 1, : len(text)]).detach()
      c = int(results['classes'][i])

      def log_odds(x, c=c):
        p = program.classify(x, torch.full((len(x),), x.shape[1])).softmax(1)
        return p[:, c].log() - (1 - p[:, c]).log()

      gradients = IntegratedGradients(log_odds).attribute(x, n_steps=STEPS)
      results['integrated_gradients'][i, : len(text)] = gradients[0].sum(-1)
  state = {f'state/{name}': x for name, x in arrays(program).items()}
  return state | {name: x.numpy() for name, x in results.items()}


def make():
  """The arrays of each golden file, by the file's name."""
  files = {'gru': gru()}
  torch.manual_seed(1)
  files['additive'] = classifier(additive(units=3), outputs=3)
  files['dot'] = classifier(torch.nn.Linear(8, 1), outputs=1)
  return files


if __name__ == '__main__':
  for name, content in make().items():
    np.savez_compressed(FOLDER / f'{name}.npz', **content)
