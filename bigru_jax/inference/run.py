"""Predictions, attention and metrics of a trained run on new texts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
import dataclasses
import itertools
import pathlib
from typing import Any

from flax import linen as nn
import jax
from jax.sharding import Mesh
import numpy as np

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data import batching
from bigru_jax.data.embeddings import UnseenWords
from bigru_jax.data.encode import EncodedText, encode, make_split
from bigru_jax.data.entities import check_entities, marker_ids
from bigru_jax.data.memory import check_texts
from bigru_jax.data.splits import Labels
from bigru_jax.data.tokenizer import Tokenizer
from bigru_jax.evaluation import steps
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.evaluation.evaluation import Evaluation, evaluate_logits
from bigru_jax.inference import predictions
from bigru_jax.inference.label_ids import to_columns
from bigru_jax.inference.unseen import with_unseen_words
from bigru_jax.runtime.fields import check_count
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import Task

BATCH_SIZE = 256
_SMALL_BATCHES = 1, 8, 64  # So that one text is not padded to a whole batch.
_CHUNK = 4096  # The number of texts that are predicted at a time.


class Run:
  """A trained model that predicts the labels of texts.

  Attributes:
    workdir: the run directory.
    config: the configuration of the training.
    labels: the classes' names, by index.
    tokenizer: converts a text to tokens and ids.
    task: the task.
    model: the Flax module.
    params: its best parameters, replicated over the devices.
    calibration: its temperature and thresholds, fitted on validation.
    fields: the names of the fields of its predictions; see `predict`.
    markers: the ids of `text.MARKERS`, if the model needs the entities.
  """

  @single_precision()
  def __init__(
    self,
    *,
    workdir: pathlib.Path,
    config: Config,
    labels: list[str],
    tokenizer: Tokenizer,
    task: Task,
    model: nn.Module,
    params: Any,
    mesh: Mesh,
    calibration: Calibration,
    unseen: UnseenWords | None = None,
  ) -> None:
    self.workdir, self.config, self.labels = workdir, config, labels
    self.tokenizer, self.task, self.model = tokenizer, task, model
    self.params = jax.device_put(params, parallel.replicated(mesh))
    self.calibration, self._mesh, self._unseen = calibration, mesh, unseen
    self.fields = predictions.fields_of(config)
    self._steps_for = steps.by_vocabulary_size(model, task, mesh)
    self.markers: tuple[int, ...] = ()
    if config.pooling_entry.needs_entities:
      self.markers = marker_ids(tokenizer, config.pooling)

  def __reduce__(self) -> Any:
    """Raises TypeError, since compiled programs belong to this process."""
    raise TypeError(
      'a run cannot be pickled: bigru_jax.load(workdir) opens '
      f'workdir={self.workdir} in another process'
    )

  def predict(
    self,
    texts: Sequence[str],
    batch_size: int = BATCH_SIZE,
    calibrated: bool = False,
    fields: Collection[str] | None = None,
  ) -> list[dict[str, Any]]:
    """Predicts every text, in order; texts of similar length share a batch.

    Args:
      texts: strings; an empty one is read as the unknown token. For a run with
        several text columns also tuples or lists of as many strings.
      batch_size: the maximum batch size, rounded up for the devices.
      calibrated: whether the logits are divided by the temperature that was
        fitted on validation; the labels stay the same.
      fields: the fields to return; by default all. Spans and attention are
        computed and copied only if they are returned.

    Returns:
      A JSON object per text:

      - `label`: the label; for multi_label, a list of labels.
      - `probabilities`: the probability of each label.
      - `tokens`: the tokens of the text, up to `max_length`.
      - `spans`: the [start, end) of each token in the original text, in code
        points; increasing and disjoint. A span is empty if the token before it
        comes from the same character.
      - `truncated`: whether the text has more tokens than that.
      - `empty`: whether the text is missing or blank.
      - `attention`: {`words`: a list per head of one weight per token}; empty
        if the pooling has no weights.
      - `attention_labels`: the label of each head of label-wise attention.

      A hierarchical model keeps the tokens of up to `max_sentences` sentences,
      and also returns `sentences`, the number of tokens of each. The weights of
      `words` sum to one in each sentence, and `attention` also has `sentences`,
      a list per head of one weight per sentence.

    Raises:
      ValueError: `texts` is a single string or a table; a field is unknown; a
        text is not a string, or lacks an entity that entity attention needs
        (the message has its number); or `batch_size` is below 1.
    """
    return list(self.stream(texts, batch_size, calibrated, fields))

  def stream(
    self,
    texts: Iterable[str],
    batch_size: int = BATCH_SIZE,
    calibrated: bool = False,
    fields: Collection[str] | None = None,
  ) -> Iterator[dict[str, Any]]:
    """Predicts like `predict`, in chunks and in constant memory."""
    names = predictions.choose_fields(fields, self.fields)
    batch_size = check_count('batch_size', batch_size)
    texts = check_texts(texts, self.config.num_texts)
    before, first = None, 1
    # The devices compute a chunk while the host works on its neighbours.
    while chunk := list(itertools.islice(texts, _CHUNK)):
      dispatched = self._dispatch(chunk, first, batch_size, calibrated, names)
      if before:
        yield from self._answers(names, *before)
      before, first = dispatched, first + len(chunk)
    if before:
      yield from self._answers(names, *before)

  @single_precision()
  def evaluate(
    self,
    texts: Sequence[str],
    labels: Sequence[Any],
    batch_size: int = BATCH_SIZE,
    calibrated: bool = False,
    origins: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
  ) -> Evaluation:
    """Returns metrics and scores by class on labelled texts.

    Args:
      texts: strings.
      labels: in any form that training accepts, or as lists of names.
      batch_size, calibrated: see `predict`.
      origins: the origin of each text, for messages; by default its number.
      weights: the weight of each text; by default 1.

    Returns:
      A dict with `loss`, `accuracy`, `macro_f1` and other metrics by name, and
      the result of `by_class.classification_report`. Its attributes contain
      the predictions.

    Raises:
      ValueError: the numbers of texts, labels and weights differ, or are 0; a
        weight is wrong, or a label is not the run's; or see `predict`.
    """
    batch_size = self._rounded(check_count('batch_size', batch_size))
    texts = list(check_texts(texts, self.config.num_texts))
    classes, config = self.labels, self.config
    columns = to_columns(labels, weights, classes, self.workdir, config)
    if len(texts) != len(columns['label']) or not texts:
      raise ValueError(f'{len(texts)} texts and {len(columns["label"])} labels')
    origin_of = origins.__getitem__ if origins else lambda i: f'text {i + 1}'
    params, _, split = self._encode(texts, origin_of, columns['label'])
    split = split.with_columns(**columns)
    _, eval_step = self._steps_for(len(params['embedding']))
    metrics, logits_NxC = steps.evaluate(
      eval_step, params, self.task, split, batch_size, self._mesh
    )
    return evaluate_logits(
      self.task,
      self.labels,
      split.label_array(),
      logits_NxC,
      self.calibration,
      metrics,
      calibrated,
      split.example_weights(),
    )

  @single_precision()
  def _dispatch(
    self,
    texts: list[str],
    first: int,
    batch_size: int,
    calibrated: bool,
    fields: list[str],
  ) -> tuple[list[str], list[EncodedText], batching.Plan, list[Any]]:
    """Starts to predict texts; `first` is the number of the first text.

    Returns the arguments of `_answers` while the devices still compute.
    """
    no_labels = np.zeros(len(texts), np.int32)
    params, encoded_texts, split = self._encode(
      texts, lambda i: f'text {first + i}', no_labels, 'spans' in fields
    )
    split = split.with_num_shards(self._mesh.size)
    sizes = [self._rounded(size) for size in (*_SMALL_BATCHES, batch_size)]
    plan = split.plan(sizes[-1])
    predict_step, _ = self._steps_for(len(params['embedding']))
    temperature = self.calibration.temperature if calibrated else 1.0
    outputs = []
    for shape, indices in plan:
      size = next(n for n in sizes if n >= len(indices))
      batch = split.batch(indices, shape, size)
      batch = parallel.place_batch(batch, self._mesh)
      outputs.append(predict_step(params, batch, temperature))
    return texts, encoded_texts, plan, outputs

  @single_precision()
  def _answers(
    self,
    fields: list[str],
    texts: list[str],
    encoded_texts: list[EncodedText],
    plan: batching.Plan,
    outputs: list[Any],
  ) -> list[dict[str, Any]]:
    """Returns the answers of a chunk, in the order of its texts."""
    if 'attention' not in fields:  # It is not copied from the devices.
      outputs = [(p, logits, {}, heads) for p, logits, _, heads in outputs]
    answers: dict[int, dict[str, Any]] = {}
    for (_, indices), batch_outputs in zip(plan, jax.device_get(outputs)):
      answers |= predictions.make_answers(
        indices,
        batch_outputs,
        task=self.task,
        labels=self.labels,
        thresholds=self.calibration.thresholds,
        texts=texts,
        encoded_texts=encoded_texts,
        fields=fields,
      )
    return [answers[i] for i in range(len(texts))]

  def _rounded(self, batch_size: int) -> int:
    return -(-batch_size // self._mesh.size) * self._mesh.size

  def _encode(
    self,
    texts: Sequence[str],
    origin_of: Callable[[int], str],
    label_ids: Labels,
    with_spans: bool = False,
  ) -> tuple[Any, list[EncodedText], batching.EncodedSplit]:
    """Returns the parameters to use, the encoded texts, and a split of them.

    The embedding table gets rows for words that training has not seen, if the
    run's file of vectors has them.
    """
    limits, params = self.config.limits, self.params
    # A lone surrogate becomes a question mark.
    scalars = (x.encode('utf-8', 'replace').decode() for x in texts)
    encoded_texts = [
      encode(x, self.tokenizer, limits, with_spans) for x in scalars
    ]
    if self._unseen:
      params, encoded_texts = with_unseen_words(
        params, self._unseen, self.tokenizer.size, encoded_texts
      )
    ids = [text.ids for text in encoded_texts]
    sentences = [text.sentences for text in encoded_texts]
    split = make_split(
      ids,
      label_ids,
      len(self.labels),
      sentences if limits.hierarchical else None,
    )
    if self.markers:
      tokens = split.table['tokens']
      check_entities(tokens, self.markers, origin_of, self.config.pooling)
      split = dataclasses.replace(split, markers=self.markers)
    return params, encoded_texts, split
