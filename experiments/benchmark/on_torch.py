"""The baseline in eager PyTorch, on the CPU or, as `cudnn`, on a GPU.

nn.GRU(bidirectional=True) is not packed, so it is not masked; the attention is.
Parameters are float32, and autocast computes in bfloat16 where it is asked for;
cuDNN's GRU, which autocast runs in float16, is as fast in both. As in JAX,
float32 products on a GPU may use TF32.
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
  """Returns the function that does the work of a case once.

  Args:
    name: `torch` or `cudnn`.
    case: the work.
  """
  device = 'cuda' if name == 'cudnn' else 'cpu'
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.set_float32_matmul_precision('high')  # TF32 on a GPU.
  torch.manual_seed(0)
  call = _build(case, device)

  def run() -> Any:
    result = call()
    if device == 'cuda':
      torch.cuda.synchronize()
    return result

  return run


def device_peak_mib() -> float:
  """Returns the peak memory of this process on the GPU; 0 on a CPU."""
  return torch.cuda.max_memory_allocated() / 2**20


def _build(case: Case, device: str) -> Call:
  if case.work in ('forward', 'backward'):
    return _encoder(case, device)
  texts = cases.make_texts(case)
  model = Classifier(case, texts).to(device)
  if case.work == 'inference':
    model.eval()
    logits_of = torch.no_grad()(model)
    return lambda: texts.predict(
      case.batch, lambda batch: logits_of(_tensors(batch, device))
    )
  return _training(case, texts, model, device)


def _tensors(batch: Any, device: str) -> dict[str, torch.Tensor]:
  return {
    name: torch.from_numpy(array).to(device) for name, array in batch.items()
  }


def _autocast(case: Case, device: str) -> torch.autocast:
  return torch.autocast(device, torch.bfloat16, case.dtype == 'bfloat16')


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
    self.case = case

  def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with _autocast(self.case, batch['tokens'].device.type):
      return self._logits(batch)

  def _logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    tokens_BxT, lengths_B = batch['tokens'], batch['lengths']
    h_BxTxF, _ = self.encode(self.drop(self.embed(tokens_BxT)))
    scores_BxT = self.query(torch.tanh(self.key(h_BxTxF))).squeeze(-1).float()
    positions_T = torch.arange(tokens_BxT.shape[1], device=lengths_B.device)
    padding_BxT = positions_T >= lengths_B.unsqueeze(1)
    alpha_BxT = scores_BxT.masked_fill(padding_BxT, -1e9).softmax(1)
    c_BxF = torch.bmm(alpha_BxT.unsqueeze(1), h_BxTxF).squeeze(1)
    return self.output(self.drop(c_BxF))


def _encoder(case: Case, device: str) -> Call:
  module = _BiGRU(case.embedding, case.hidden, device=device)
  x_BxTxE, dy_BxTx2H = (
    torch.from_numpy(array).to(device) for array in cases.encoder_arrays(case)
  )

  def forward() -> Any:
    with _autocast(case, device):
      return module(x_BxTxE)[0]

  if case.work == 'forward':
    return torch.no_grad()(forward)
  x_BxTxE.requires_grad_()

  def backward() -> Any:
    h_BxTx2H = forward()
    h_BxTx2H.backward(dy_BxTx2H.to(h_BxTx2H.dtype))
    dx_BxTxE, x_BxTxE.grad = x_BxTxE.grad, None
    module.zero_grad()
    return dx_BxTxE

  return backward


def _training(case: Case, texts: Texts, model: nn.Module, device: str) -> Call:
  optimizer = torch.optim.Adam(
    model.parameters(), lr=cases.LEARNING_RATE, fused=True
  )

  def step(host_batch: Any) -> Any:
    batch = _tensors(host_batch, device)
    losses_B = functional.cross_entropy(
      model(batch), batch['labels'].long(), reduction='none'
    )
    loss = (losses_B * batch['weights']).sum() / batch['weights'].sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss

  return texts.train(case.batch, step)
