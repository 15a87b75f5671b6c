"""The baseline in eager PyTorch.

nn.GRU(bidirectional=True) is not packed, so it is not masked; the attention is.
"""

import functools
import os
from typing import Any

import cases
from cases import Call, Case, Texts
import torch
from torch import nn
from torch.nn import functional

_BiGRU = functools.partial(nn.GRU, bidirectional=True, batch_first=True)


def build(name: str, case: Case) -> Call:
  """Returns the function that does the work of a case once."""
  del name
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.manual_seed(0)
  if case.work in ('forward', 'backward'):
    return _encoder(case, _BiGRU(case.embedding, case.hidden))
  texts = cases.make_texts(case)
  model = Classifier(case, texts)
  if case.work == 'inference':
    model.eval()
    return lambda: texts.predict(case.batch, torch.no_grad()(model))
  return _training(case, texts, model)


class Classifier(nn.Module):
  """Embedding, GRU, additive attention, dense."""

  def __init__(self, case: Case, texts: Texts) -> None:
    super().__init__()
    self.embed = nn.Embedding(texts.vocabulary, case.embedding, padding_idx=0)
    self.encode = _BiGRU(case.embedding, case.hidden)
    self.key = nn.Linear(2 * case.hidden, 2 * case.hidden)
    self.query = nn.Linear(2 * case.hidden, 1, bias=False)
    self.output = nn.Linear(2 * case.hidden, texts.classes)
    self.drop = nn.Dropout(cases.DROPOUT)

  def forward(self, batch: Any) -> torch.Tensor:
    tokens_BxT = torch.from_numpy(batch['tokens'])
    lengths_Bx1 = torch.from_numpy(batch['lengths']).unsqueeze(1)
    h_BxTxF, _ = self.encode(self.drop(self.embed(tokens_BxT)))
    scores_BxT = self.query(torch.tanh(self.key(h_BxTxF))).squeeze(-1)
    padding_BxT = torch.arange(tokens_BxT.shape[1]) >= lengths_Bx1
    alpha_BxT = scores_BxT.masked_fill(padding_BxT, -1e9).softmax(1)
    c_BxF = torch.bmm(alpha_BxT.unsqueeze(1), h_BxTxF).squeeze(1)
    return self.output(self.drop(c_BxF))


def _encoder(case: Case, module: Any) -> Call:
  x_BxTxE, dy_BxTx2H = map(torch.from_numpy, cases.encoder_arrays(case))
  if case.work == 'forward':
    forward = torch.no_grad()(module)
    return lambda: forward(x_BxTxE)[0]
  x_BxTxE.requires_grad_()

  def backward() -> Any:
    module(x_BxTxE)[0].backward(dy_BxTx2H)
    dx_BxTxE, x_BxTxE.grad = x_BxTxE.grad, None
    module.zero_grad()
    return dx_BxTxE

  return backward


def _training(case: Case, texts: Texts, model: nn.Module) -> Call:
  optimizer = torch.optim.Adam(
    model.parameters(), lr=cases.LEARNING_RATE, fused=True
  )

  def step(batch: Any) -> Any:
    labels_B = torch.from_numpy(batch['labels']).long()
    weights_B = torch.from_numpy(batch['weights'])
    losses_B = functional.cross_entropy(
      model(batch), labels_B, reduction='none'
    )
    loss = (losses_B * weights_B).sum() / weights_B.sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss

  return texts.train(case.batch, step)
