"""Texts to labels: `Run.predict`, and ONNX Runtime on the run's export.

Both use the same tokenizer, and both compute the attention.
"""

from collections.abc import Callable
import pathlib

from cases import Call, Case
import numpy as np
import onnxruntime

from bigru_jax import parallel
from bigru_jax.data import sources
from bigru_jax.data.prepare import prepare
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.inference.run import Run
from bigru_jax.interop.onnx import to_onnx
from bigru_jax.runtime import host
from bigru_jax.training.program import build_program


def build(name: str, case: Case) -> Call:
  """Returns a function that does the work of a case, by an untrained run."""
  host.configure_cpu()
  config = case.config
  data = prepare(config)
  program = build_program(config, data)
  run = Run(
    workdir=pathlib.Path(), config=config, labels=data.labels,
    tokenizer=data.tokenizer, task=program.task, model=program.model,
    params=program.params, mesh=parallel.local_mesh(),
    calibration=Calibration(),
  )  # fmt: skip
  train_texts = [example.text for example in sources.read(config)['train']]
  texts = [train_texts[i % len(train_texts)] for i in range(case.sentences)]
  calls = [texts] if case.batch > 1 else [[text] for text in texts]
  if name == 'onnxruntime':
    predict = _onnxruntime(run, case.batch)
    return lambda: np.concatenate([predict(texts) for texts in calls])
  label_ids = {label: i for i, label in enumerate(run.labels)}
  return lambda: np.array([
    label_ids[prediction['label']]
    for texts in calls
    for prediction in run.predict(texts, case.batch)
  ])  # fmt: skip


def _onnxruntime(
  run: Run, batch_size: int
) -> Callable[[list[str]], np.ndarray]:
  session = onnxruntime.InferenceSession(to_onnx(run).SerializeToString())
  max_length = run.config.max_length

  def predict(texts: list[str]) -> np.ndarray:
    """Returns the labels of texts, in batches of like lengths."""
    ids = [run.tokenizer.encode(text)[1][:max_length] for text in texts]
    order = np.argsort([len(text_ids) for text_ids in ids], kind='stable')
    labels = np.zeros(len(ids), np.int64)
    for start in range(0, len(ids), batch_size):
      indices = order[start : start + batch_size]
      lengths_B = np.array([len(ids[i]) for i in indices], np.int32)
      ids_BxT = np.zeros((len(indices), lengths_B.max()), np.int32)
      for row_T, i in zip(ids_BxT, indices):
        row_T[: len(ids[i])] = ids[i]
      outputs = session.run(None, {'ids': ids_BxT, 'lengths': lengths_B})
      labels[indices] = outputs[0].argmax(-1)
    return labels

  return predict
