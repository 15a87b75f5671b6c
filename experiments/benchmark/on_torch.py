"""PyTorch, eager or under torch.compile, and ONNX Runtime on its export.

nn.GRU(bidirectional=True) is not packed, so it is not masked; the attention is.
"""

import tempfile
from typing import Any

import cases
from cases import Call, Case, Texts
import torch
from torch import nn

from bigru_jax.runtime import host


def build(name: str, case: Case) -> Call:
  """The function that does the work of a case once."""
  torch.set_num_threads(host.cores())
  torch.manual_seed(0)
  compiled: Any = torch.compile if name == 'torch_compile' else lambda m: m
  if case.flops:
    return _encoder(case, compiled(_bidirectional(case)))
  texts = cases.make_texts(case)
  model = Classifier(case, texts)
  if name == 'onnxruntime':
    return _onnxruntime(case, texts, model.eval())
  model = compiled(model)
  if case.work != 'inference':
    return _training(texts, model)
  model.eval()
  no_grad = torch.no_grad()
  return texts.inference(lambda batch: no_grad(model)(*_tensors(batch)[:2]))


def _tensors(batch: Any) -> list[torch.Tensor]:
  """The tokens, lengths, labels and weights of a batch."""
  return [torch.from_numpy(array) for array in batch.values()]


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
    self.drop = nn.Dropout(cases.DROPOUT)

  def forward(self, tokens_BxT: Any, lengths_B: Any) -> torch.Tensor:
    h_BxTxF, _ = self.encode(self.drop(self.embed(tokens_BxT)))
    scores_BxT = self.query(torch.tanh(self.key(h_BxTxF))).squeeze(-1)
    padding_BxT = torch.arange(tokens_BxT.shape[1]) >= lengths_B.unsqueeze(1)
    alpha_BxT = scores_BxT.masked_fill(padding_BxT, -1e9).softmax(1)
    c_BxF = torch.bmm(alpha_BxT.unsqueeze(1), h_BxTxF).squeeze(1)
    return self.output(self.drop(c_BxF))


def _encoder(case: Case, module: Any) -> Call:
  x_BxTxE, dy_BxTx2H = map(torch.from_numpy, cases.encoder_arrays(case))
  if case.work == 'forward':
    forward = torch.no_grad()(module)
    return lambda: forward(x_BxTxE)[0]
  x_BxTxE.requires_grad_()

  def backward() -> torch.Tensor | None:
    module(x_BxTxE)[0].backward(dy_BxTx2H)
    dx_BxTxE, x_BxTxE.grad = x_BxTxE.grad, None
    module.zero_grad()
    return dx_BxTxE

  return backward


def _training(texts: Texts, model: Any) -> Call:
  optimizer = torch.optim.Adam(
    model.parameters(), lr=cases.LEARNING_RATE, fused=True
  )

  def step(batch: Any) -> torch.Tensor:
    tokens_BxT, lengths_B, labels_B, weights_B = _tensors(batch)
    losses_B = nn.functional.cross_entropy(
      model(tokens_BxT, lengths_B), labels_B.long(), reduction='none'
    )
    loss = (losses_B * weights_B).sum() / weights_B.sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()

  return texts.training(step)


def _onnxruntime(case: Case, texts: Texts, model: nn.Module) -> Call:
  """One session per shape, as XLA has one program per shape."""
  import onnxruntime

  sessions = {}
  for length in texts.split.buckets:
    lengths = torch.full([case.batch], length, dtype=torch.int32)
    example = torch.ones(case.batch, length, dtype=torch.int32), lengths
    with tempfile.NamedTemporaryFile(suffix='.onnx') as file:
      torch.onnx.export(
        model, example, file.name, input_names=['tokens', 'lengths'],
        dynamo=True, external_data=False, verbose=False,
      )  # fmt: skip
      sessions[length] = onnxruntime.InferenceSession(file.read())

  def logits(batch: Any) -> Any:
    inputs = {name: batch[name] for name in ('tokens', 'lengths')}
    return sessions[batch['tokens'].shape[1]].run(None, inputs)[0]

  return texts.inference(logits)
