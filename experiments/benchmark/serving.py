"""Texts to labels: `Run.predict`, and ONNX Runtime on the run's export.

Both use the same tokenizer, and both compute the attention.
"""

import pathlib

from cases import Call, Case
import numpy as np
import onnxruntime

from bigru_jax import parallel
from bigru_jax.data import sources
from bigru_jax.data.prepare import prepare
from bigru_jax.evaluation.evaluation import Calibration
from bigru_jax.inference.run import Run
from bigru_jax.interop.onnx import to_onnx
from bigru_jax.runtime import host
from bigru_jax.training.program import build_program


def build(name: str, case: Case) -> Call:
  """The function that does the work of a case once, by an untrained run."""
  host.configure_cpu(case.devices)
  config = case.config
  data = prepare(config)
  program = build_program(config, data)
  run = Run(
    workdir=pathlib.Path(), config=config, labels=data.labels,
    tokenizer=data.tokenizer, task=program.task, model=program.model,
    params=program.params, mesh=parallel.local_mesh(),
    calibration=Calibration(),
  )  # fmt: skip
  read = [example.text for example in sources.read(config)['train']]
  texts = [read[i % len(read)] for i in range(case.sentences)]
  calls = [texts] if case.batch > 1 else [[text] for text in texts]
  if name == 'onnxruntime':
    return _onnxruntime(case, run, calls)
  label_ids = {label: i for i, label in enumerate(run.labels)}
  return lambda: np.array(
    [
      label_ids[answer['label']]
      for some in calls
      for answer in run.predict(some, case.batch)
    ]
  )


def _onnxruntime(case: Case, run: Run, calls: list[list[str]]) -> Call:
  session = onnxruntime.InferenceSession(to_onnx(run).SerializeToString())
  longest = run.config.max_length

  def labels(texts: list[str]) -> np.ndarray:
    """Those of texts, in batches of like lengths."""
    ids = [run.tokenizer.encode(text)[1][:longest] for text in texts]
    order = np.argsort([len(row) for row in ids], kind='stable')
    found = np.zeros(len(ids), np.int64)
    for start in range(0, len(ids), case.batch):
      rows = order[start : start + case.batch]
      lengths_B = np.array([len(ids[row]) for row in rows], np.int32)
      ids_BxT = np.zeros((len(rows), lengths_B.max()), np.int32)
      for i, row in enumerate(rows):
        ids_BxT[i, : lengths_B[i]] = ids[row]
      outputs = session.run(None, {'ids': ids_BxT, 'lengths': lengths_B})
      found[rows] = outputs[0].argmax(-1)
    return found

  return lambda: np.concatenate([labels(texts) for texts in calls])
