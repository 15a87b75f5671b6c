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
import numpy as np
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
  if case.work == 'pretraining':
    language_model = LanguageModel(case, texts).to(device)
    return _training(case, texts, language_model, language_model.loss, device)
  model = Classifier(case, texts).to(device)
  if case.work == 'inference':
    model.eval()
    logits_of = torch.no_grad()(model)
    return lambda: texts.predict(
      case.batch, lambda batch: logits_of(_tensors(batch, device))
    )

  def loss_of(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    losses_B = functional.cross_entropy(
      model(batch), batch['labels'].long(), reduction='none'
    )
    return (losses_B * batch['weights']).sum() / batch['weights'].sum()

  return _training(case, texts, model, loss_of, device)


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


class LanguageModel(nn.Module):
  """Predicts the next word forward, and the previous word backward.

  The softmax sums over the true word and a sample of others, which the batch
  shares; the output vectors are those of the embedding.
  """

  def __init__(self, case: Case, texts: Texts) -> None:
    super().__init__()
    self.embed = nn.Embedding(texts.vocabulary, case.embedding)
    self.encode = _BiGRU(case.embedding, case.hidden)
    self.project = nn.ModuleList(
      nn.Linear(case.hidden, case.embedding, bias=False) for _ in range(2)
    )
    self.bias = nn.Parameter(torch.zeros(texts.vocabulary))
    self.drop = nn.Dropout(cases.DROPOUT)
    self.case = case
    counts_V = np.bincount(
      texts.split.table['tokens'].flat(), minlength=texts.vocabulary
    )
    shares_V = torch.from_numpy((counts_V + 1.0) ** 0.75)
    shares_V /= shares_V.sum()
    self.shares_V = nn.Parameter(shares_V, requires_grad=False)

  def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Returns the mean loss of a word; all texts are equally long."""
    tokens_BxT = batch['tokens'].long()
    with _autocast(self.case, tokens_BxT.device.type):
      h_BxTxF, _ = self.encode(self.drop(self.embed(tokens_BxT)))
      forward_BxTxH, backward_BxTxH = h_BxTxF.chunk(2, -1)
      states = forward_BxTxH[:, :-1], backward_BxTxH[:, 1:]
      predicting = [layer(x) for layer, x in zip(self.project, states)]
      h_NxE = torch.cat(predicting).flatten(0, 1)
      targets_N = torch.cat([tokens_BxT[:, 1:], tokens_BxT[:, :-1]]).flatten()
      sample_S = torch.multinomial(
        self.shares_V, cases.SAMPLED_WORDS, replacement=True
      )
      counts_S = cases.SAMPLED_WORDS * self.shares_V[sample_S]
      offsets_S = self.bias[sample_S] - counts_S.log().float()
      scores_NxS = h_NxE @ self.embed(sample_S).T + offsets_S
    is_target_NxS = targets_N[:, None] == sample_S
    scores_NxS = scores_NxS.float().masked_fill(is_target_NxS, -1e30)
    true_N = (h_NxE.float() * self.embed(targets_N)).sum(-1)
    true_N = true_N + self.bias[targets_N]
    all_NxK = torch.cat([true_N[:, None], scores_NxS], 1)
    return (torch.logsumexp(all_NxK, 1) - true_N).mean()


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


def _training(
  case: Case, texts: Texts, model: nn.Module, loss_of: Any, device: str
) -> Call:
  optimizer = torch.optim.Adam(
    model.parameters(), lr=cases.LEARNING_RATE, fused=True
  )

  def step(host_batch: Any) -> Any:
    loss = loss_of(_tensors(host_batch, device))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss

  return texts.train(case.batch, step)
