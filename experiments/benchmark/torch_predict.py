"""Labels the texts of a CSV file in PyTorch, for `labelling.py`.

  python torch_predict.py MODEL.pt RUN IN.csv OUT.csv

It is an ordinary program for a model that `classifier_to_torch` made: texts are
sorted by length, so that batches are hardly padded, and the GRU is not packed,
which is faster. The tokenizer is that of the run.
"""

import csv
import json
import pathlib
import sys

import numpy as np
import torch
from torch import nn

from bigru_jax.data.tokenizer import load_tokenizer

_BATCH_SIZE = 256


class Classifier(nn.Module):
  """Embedding, GRU, additive attention, dense."""

  def __init__(self, state: dict[str, torch.Tensor]) -> None:
    super().__init__()
    hidden_size = state['gru.weight_hh_l0'].shape[1]
    size, width = 2 * hidden_size, state['embedding.weight'].shape[1]
    self.embedding = nn.Embedding(*state['embedding.weight'].shape)
    self.gru = nn.GRU(width, hidden_size, bidirectional=True, batch_first=True)
    self.attention = nn.Sequential(
      nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 1, bias=False)
    )
    self.fc = nn.Linear(size, len(state['fc.bias']))
    self.load_state_dict(state)

  def forward(
    self, tokens_BxT: torch.Tensor, lengths_B: torch.Tensor
  ) -> torch.Tensor:
    h_BxTxF, _ = self.gru(self.embedding(tokens_BxT))
    scores_BxT = self.attention(h_BxTxF).squeeze(-1)
    padding_BxT = torch.arange(tokens_BxT.shape[1]) >= lengths_B.unsqueeze(1)
    weights_BxT = scores_BxT.masked_fill(padding_BxT, -1e9).softmax(1)
    return self.fc(torch.bmm(weights_BxT.unsqueeze(1), h_BxTxF).squeeze(1))


def main(model_path: str, workdir: str, source: str, output: str) -> None:
  model = Classifier(torch.load(model_path)).eval()
  tokenizer = load_tokenizer(pathlib.Path(workdir), 'words')
  labels = json.loads(pathlib.Path(workdir, 'labels.json').read_text())
  with open(source, encoding='utf-8', newline='') as file:
    header, *rows = csv.reader(file)
  column = header.index('text')
  ids = list(map(list, tokenizer.ids(row[column] for row in rows)))
  lengths = np.array(list(map(len, ids)))
  order = np.argsort(lengths, kind='stable')
  probabilities_NxC = np.zeros((len(rows), len(labels)), np.float32)
  for start in range(0, len(rows), _BATCH_SIZE):
    indices = order[start : start + _BATCH_SIZE]
    tokens_BxT = np.zeros((len(indices), lengths[indices].max()), np.int64)
    for row_T, i in zip(tokens_BxT, indices):
      row_T[: lengths[i]] = ids[i]
    with torch.inference_mode():
      logits_BxC = model(
        torch.from_numpy(tokens_BxT), torch.from_numpy(lengths[indices])
      )
      if logits_BxC.shape[1] < len(labels):  # One sigmoid for two classes.
        logits_BxC = torch.cat([torch.zeros_like(logits_BxC), logits_BxC], 1)
      probabilities_NxC[indices] = logits_BxC.softmax(1).numpy()
  names = [labels[c] for c in probabilities_NxC.argmax(1)]
  with open(output, 'w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(
      [*header, 'prediction', *(f'probability_{x}' for x in labels)]
    )
    cells = zip(rows, names, probabilities_NxC.tolist())
    writer.writerows([*row, name, *p_C] for row, name, p_C in cells)


if __name__ == '__main__':
  main(*sys.argv[1:])
