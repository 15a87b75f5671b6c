"""ONNX Runtime on the exported PyTorch classifier; inference only."""

import tempfile

import onnxruntime
import torch

from peers import task as tasks
from peers.torch import Classifier


def build(case):
  task = tasks.make_task(case)
  model = Classifier(case, task).eval()
  sessions = {
    length: onnxruntime.InferenceSession(_export(model, case.batch, length))
    for length in task.buckets
  }

  def predict_batch(batch):
    session = sessions[batch['tokens'].shape[1]]
    tokens, lengths = (x.name for x in session.get_inputs())
    inputs = {tokens: batch['tokens'], lengths: batch['lengths']}
    return session.run(None, inputs)[0]

  return lambda: tasks.predict(task, case.batch, predict_batch)


def _export(model, batch_size, length):
  """The model as an ONNX file's bytes, for one shape as XLA's programs are."""
  example = (
    torch.ones(batch_size, length, dtype=torch.int32),
    torch.full([batch_size], length, dtype=torch.int32),
  )
  with tempfile.NamedTemporaryFile(suffix='.onnx') as file:
    torch.onnx.export(
      model, example, file.name, dynamo=True, external_data=False, verbose=False
    )
    return file.read()
