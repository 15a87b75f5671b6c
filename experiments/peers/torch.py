"""PyTorch, eager: nn.GRU(bidirectional=True), not packed."""

import os

import torch
from torch import nn
from torch.nn import functional

from peers import task as tasks


def build(case, compile_module=lambda module: module):
  """See `peers`; `compile_module` may be torch.compile."""
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.manual_seed(0)
  if case.work in ('forward', 'backward'):
    return _encoder(case, compile_module)
  task = tasks.make_task(case)
  model = compile_module(Classifier(case, task))
  if case.work == 'inference':
    return _inference(case, task, model)
  return _training(case, task, model)


def _bidirectional(case):
  return nn.GRU(
    case.embedding, case.hidden, bidirectional=True, batch_first=True
  )


class Classifier(nn.Module):
  """Embedding, GRU, additive attention, dense."""

  def __init__(self, case, task):
    super().__init__()
    self.embed = nn.Embedding(task.vocabulary, case.embedding, padding_idx=0)
    self.encode = _bidirectional(case)
    self.key = nn.Linear(2 * case.hidden, 2 * case.hidden)
    self.query = nn.Linear(2 * case.hidden, 1, bias=False)
    self.output = nn.Linear(2 * case.hidden, task.classes)
    self.drop = nn.Dropout(tasks.DROPOUT)

  def forward(self, tokens_BxT, lengths_B):
    h_BxTx2H, _ = self.encode(self.drop(self.embed(tokens_BxT)))
    scores_BxT = self.query(torch.tanh(self.key(h_BxTx2H))).squeeze(-1)
    places_T = torch.arange(tokens_BxT.shape[1])
    padding_BxT = places_T >= lengths_B.unsqueeze(1)
    alpha_BxT = scores_BxT.masked_fill(padding_BxT, -1e9).softmax(1)
    c_Bx2H = torch.bmm(alpha_BxT.unsqueeze(1), h_BxTx2H).squeeze(1)
    return self.output(self.drop(c_Bx2H))


def _encoder(case, compile_module):
  module = compile_module(_bidirectional(case))
  x_BxTxE, dy_BxTx2H = map(torch.from_numpy, tasks.encoder_arrays(case))

  def forward():
    with torch.no_grad():
      return module(x_BxTxE)[0]

  def backward():
    module(x_BxTxE)[0].backward(dy_BxTx2H)
    dx_BxTxE, x_BxTxE.grad = x_BxTxE.grad, None
    module.zero_grad()
    return dx_BxTxE

  x_BxTxE.requires_grad_(case.work == 'backward')
  return backward if case.work == 'backward' else forward


def _training(case, task, model):
  optimizer = torch.optim.Adam(
    model.parameters(), lr=tasks.LEARNING_RATE, fused=True
  )
  epoch = 0

  def step(batch):
    batch = {name: torch.from_numpy(array) for name, array in batch.items()}
    logits_BxC = model(batch['tokens'], batch['lengths'])
    losses_B = functional.cross_entropy(
      logits_BxC, batch['labels'].long(), reduction='none'
    )
    loss = (losses_B * batch['weights']).sum() / batch['weights'].sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()

  def call():
    nonlocal epoch
    epoch += 1
    plan = task.plan(case.batch, epoch)
    for batch in task.batches(plan, case.batch):
      loss = step(batch)
    return loss if case.work == 'step' else len(task.encoded.tokens)

  return call


def _inference(case, task, model):
  model.eval()

  def predict_batch(batch):
    tokens_BxT, lengths_B = map(
      torch.from_numpy, (batch['tokens'], batch['lengths'])
    )
    with torch.no_grad():
      return model(tokens_BxT, lengths_B)

  return lambda: tasks.predict(task, case.batch, predict_batch)
