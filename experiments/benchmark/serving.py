"""Texts to labels: a run, and ONNX Runtime on the run's export.

Both use the same tokenizer, and both return labels and probabilities: one text
at a time by a `Predictor`, and many by `Run.predict_table`. Neither returns the
attention.
"""

from collections.abc import Callable
from concurrent import futures
import functools
import itertools
import pathlib
import random
import time

from cases import Call, Case
import jax
import numpy as np
import pyarrow as pa

from bigru_jax import parallel
from bigru_jax.data import sources
from bigru_jax.data.encode import encode_ids
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
  if case.batch == 1:
    predict = _one_text(name, run)
    return lambda: np.concatenate([predict([text]) for text in texts])
  if name == 'onnxruntime':
    predict = _onnxruntime(run, case.batch)
    return lambda: predict(texts)
  label_ids = {label: i for i, label in enumerate(run.labels)}

  def labels() -> np.ndarray:
    table = run.predict_table(pa.table({'text': texts}), case.batch)
    return np.array(list(map(label_ids.get, table['prediction'].to_pylist())))

  return labels


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
  predict = _one_text(name, run)
  for text in texts[:_MAX_WORDS]:
    predict([text])
  return predict, texts


def _one_text(name: str, run: Run) -> Callable[[list[str]], np.ndarray]:
  """Returns a program that predicts one text."""
  if name == 'onnxruntime':
    return _onnxruntime(run, 1)
  predictor = run.predictor(fields=['label', 'probabilities'])
  predictor.warm_up()
  label_ids = {label: i for i, label in enumerate(run.labels)}

  def predict(texts: list[str]) -> np.ndarray:
    return np.array([label_ids[x['label']] for x in predictor.predict(texts)])

  return predict


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
  tokenizer, limits = run.tokenizer, run.config.limits

  def predict(texts: list[str]) -> np.ndarray:
    """Returns the labels of texts, in batches of like lengths."""
    ids = encode_ids(texts, tokenizer, limits).by_text()
    order = np.argsort(ids.lengths, kind='stable')
    probabilities_NxC = np.zeros((len(texts), len(run.labels)), np.float32)
    for start in range(0, len(texts), batch_size):
      indices = order[start : start + batch_size]
      rows = ids[indices]
      arrays = {
        'ids': rows.padded(rows.lengths, rows.lengths.max()),
        'lengths': rows.lengths,
      }
      (probabilities_NxC[indices],) = session.run(['probabilities'], arrays)
    return probabilities_NxC.argmax(-1)

  return predict
