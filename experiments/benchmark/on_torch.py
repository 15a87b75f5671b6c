"""PyTorch, eager or under torch.compile, and ONNX Runtime on its export.

nn.GRU(bidirectional=True) is not packed, so it is not masked; the attention is.
"""

import os
import tempfile
from typing import Any

from cases import (
  DROPOUT,
  LEARNING_RATE,
  Call,
  Case,
  Texts,
  encoder_arrays,
  make_texts,
)
import torch
from torch import nn
from torch.nn import functional


def build(name: str, case: Case) -> Call:
  """The function that does the work of a case once."""
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.manual_seed(0)
  compiled: Any = torch.compile if name == 'torch_compile' else lambda m: m
  if case.work in ('forward', 'backward'):
    return _encoder(case, compiled(_bidirectional(case)))
  texts = make_texts(case)
  model = Classifier(case, texts)
  if name == 'onnxruntime':
    return _onnxruntime(case, texts, model.eval())
  if case.work == 'inference':
    return _inference(case, texts, compiled(model.eval()))
  return _training(case, texts, compiled(model))


def _bidirectional(case: Case) -> nn.GRU:
  return nn.GRU(
    case.embedding, case.hidden, bidirectional=True, batch_first=True
  )


class Classifier(nn.Module):
  """Embedding, GRU, additive attention, dense."""

  def __init__(self, case: Case, texts: Texts) -> None:
    super().__init__()
    self.embed = nn.Embedding(texts.vocabulary, case.embedding, padding_idx=0)
    self.encode = _bidirectional(case)
    self.key = nn.Linear(2 * case.hidden, 2 * case.hidden)
    self.query = nn.Linear(2 * case.hidden, 1, bias=False)
    self.output = nn.Linear(2 * case.hidden, texts.classes)
    self.drop = nn.Dropout(DROPOUT)

  def forward(self, tokens_BxT: Any, lengths_B: Any) -> torch.Tensor:
    h_BxTxF, _ = self.encode(self.drop(self.embed(tokens_BxT)))
    scores_BxT = self.query(torch.tanh(self.key(h_BxTxF))).squeeze(-1)
    padding_BxT = torch.arange(tokens_BxT.shape[1]) >= lengths_B.unsqueeze(1)
    alpha_BxT = scores_BxT.masked_fill(padding_BxT, -1e9).softmax(1)
    c_BxF = torch.bmm(alpha_BxT.unsqueeze(1), h_BxTxF).squeeze(1)
    return self.output(self.drop(c_BxF))


def _encoder(case: Case, module: Any) -> Call:
  x_BxTxE, dy_BxTx2H = map(torch.from_numpy, encoder_arrays(case))
  x_BxTxE.requires_grad_(case.work == 'backward')

  def forward() -> Any:
    with torch.no_grad():
      return module(x_BxTxE)[0]

  def backward() -> Any:
    module(x_BxTxE)[0].backward(dy_BxTx2H)
    dx_BxTxE, x_BxTxE.grad = x_BxTxE.grad, None
    module.zero_grad()
    return dx_BxTxE

  return backward if case.work == 'backward' else forward


def _training(case: Case, texts: Texts, model: Any) -> Call:
  optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
  epoch = 0

  def call() -> Any:
    nonlocal epoch
    epoch += 1
    for batch in texts.epoch(case.batch, epoch):
      batch = {name: torch.from_numpy(array) for name, array in batch.items()}
      losses_B = functional.cross_entropy(
        model(batch['tokens'], batch['lengths']),
        batch['labels'].long(),
        reduction='none',
      )
      loss = (losses_B * batch['weights']).sum() / batch['weights'].sum()
      loss.backward()
      optimizer.step()
      optimizer.zero_grad()
    tokens = len(texts.split.encoded.tokens)
    return loss.detach() if case.work == 'step' else tokens

  return call


def _inference(case: Case, texts: Texts, model: Any) -> Call:
  def logits(batch: Any) -> Any:
    with torch.no_grad():
      return model(*(torch.from_numpy(batch[x]) for x in ('tokens', 'lengths')))

  return lambda: texts.predict(case.batch, logits)


def _onnxruntime(case: Case, texts: Texts, model: nn.Module) -> Call:
  """One session per shape, as XLA has one program per shape."""
  import onnxruntime

  sessions = {}
  for length in texts.split.buckets:
    lengths = torch.full([case.batch], length, dtype=torch.int32)
    example = torch.ones(case.batch, length, dtype=torch.int32), lengths
    with tempfile.NamedTemporaryFile(suffix='.onnx') as file:
      torch.onnx.export(
        model, example, file.name, dynamo=True, external_data=False,
        verbose=False,
      )  # fmt: skip
      sessions[length] = onnxruntime.InferenceSession(file.read())

  def logits(batch: Any) -> Any:
    session = sessions[batch['tokens'].shape[1]]
    names = (x.name for x in session.get_inputs())
    return session.run(
      None, dict(zip(names, (batch['tokens'], batch['lengths'])))
    )[0]

  return lambda: texts.predict(case.batch, logits)
