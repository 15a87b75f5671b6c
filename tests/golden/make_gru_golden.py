"""Writes gru.npz: torch.nn.GRU's outputs and gradients on ragged input.

pip install torch==2.13.0 && python tests/golden/make_gru_golden.py
"""

import pathlib

import numpy as np
import torch

BATCH, TIME, INPUT, HIDDEN, LAYERS = 4, 7, 5, 6, 2
LENGTHS = [7, 1, 4, 6]


def main():
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
  arrays = {
    'x': x,
    'lengths': torch.tensor(LENGTHS),
    'loss_weight': weight,
    'output': output,
    'grad/x': x.grad,
  }
  for name, parameter in gru.named_parameters():
    arrays[f'param/{name}'] = parameter
    arrays[f'grad/{name}'] = parameter.grad
  path = pathlib.Path(__file__).with_name('gru.npz')
  np.savez_compressed(
    path, **{name: array.detach().numpy() for name, array in arrays.items()}
  )


if __name__ == '__main__':
  main()
