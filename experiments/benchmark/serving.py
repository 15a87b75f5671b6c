"""Texts to labels: `Run.predict`, and ONNX Runtime on the run's export.

Both use the same tokenizer, and both compute the attention.
"""

from collections.abc import Callable
from concurrent import futures
import functools
import itertools
import pathlib
import random
import time
from typing import Any

from cases import Call, Case
import jax
import numpy as np

from bigru_jax import parallel
from bigru_jax.data import sources
from bigru_jax.data.prepare import prepare
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.inference.run import Run
from bigru_jax.runtime import host
from bigru_jax.training.program import build_program

_MAX_WORDS = 300


def build(name: str, case: Case) -> Call:
  """Returns a function that does the work of a case, by an untrained run."""
  run, train_texts = _untrained(case)
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


def latencies(name: str, case: Case, threads: int) -> list[float]:
  """Returns the seconds that each text takes.

  The texts have 1 to `_MAX_WORDS` words, each number equally often.

  Args:
    name: the program.
    case: the size of the model, and the number of texts.
    threads: the number of threads that predict one text at a time.
  """
  predict, texts = _one_by_one(name, case)

  def seconds_of(text: str) -> float:
    start = time.perf_counter()
    predict([text])
    return time.perf_counter() - start

  with futures.ThreadPoolExecutor(threads) as pool:
    return list(pool.map(seconds_of, texts))


@functools.cache
def _one_by_one(name: str, case: Case) -> tuple[Callable, list[str]]:
  # As the image of docs/serving does it, before JAX starts.
  jax.config.update('jax_cpu_enable_async_dispatch', False)
  run, train_texts = _untrained(case)
  words = itertools.cycle(' '.join(train_texts).split())
  lengths = [1 + i % _MAX_WORDS for i in range(case.sentences)]
  random.Random(0).shuffle(lengths)
  texts = [' '.join(itertools.islice(words, length)) for length in lengths]
  predict: Callable[[list[str]], Any]
  if name == 'onnxruntime':
    predict = _onnxruntime(run, 1)
  else:
    predictor = run.predictor()
    predictor.warm_up()
    predict = predictor.predict
  for text in texts[:_MAX_WORDS]:
    predict([text])
  return predict, texts


def _untrained(case: Case) -> tuple[Run, list[str]]:
  """Returns a run with initial parameters, and the texts to train on."""
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
  return run, [example.text for example in sources.read(config)['train']]


def _onnxruntime(
  run: Run, batch_size: int
) -> Callable[[list[str]], np.ndarray]:
  import onnxruntime

  from bigru_jax.interop.onnx import to_onnx

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
