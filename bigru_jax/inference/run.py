"""Predictions, attention and metrics of a trained run on new texts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
import dataclasses
import pathlib
from typing import Any

from flax import linen as nn
import jax
from jax.sharding import Mesh
import pyarrow as pa

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.memory import check_texts
from bigru_jax.data.tokenizer import Tokenizer
from bigru_jax.data.vector_sets import UnseenWords
from bigru_jax.evaluation import steps
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.evaluation.evaluation import Evaluation
from bigru_jax.explain.texts import METHOD
from bigru_jax.inference import predictions
from bigru_jax.inference.encoding import make_encoder
from bigru_jax.inference.explanations import stream_explanations
from bigru_jax.inference.label_ids import to_columns
from bigru_jax.inference.overview import overview
from bigru_jax.inference.predictor import Predictor
from bigru_jax.inference.scoring import evaluate_texts
from bigru_jax.inference.tables import TABLE_FIELDS, predict_table
from bigru_jax.models.embedding import with_ngrams_in_table
from bigru_jax.runtime import facts
from bigru_jax.runtime.fields import check_count
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import Task

BATCH_SIZE = 256


class Run:
  """A trained model that predicts the labels of texts.

  Attributes:
    workdir: the run directory.
    config: the configuration of the training.
    labels: the classes' names, by index.
    tokenizer: converts a text to tokens and ids.
    task: the task.
    model: the Flax module.
    params: its best parameters, replicated over the devices. The vectors of
      character n-grams are part of the embedding table.
    trained_params: the parameters as training gave them.
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
    self.tokenizer, self.task, self.trained_params = tokenizer, task, params
    encoder = make_encoder(config, tokenizer, len(labels), unseen, params)
    self.markers = encoder.markers
    self.model, params = with_ngrams_in_table(model, params)
    self.params = jax.device_put(params, parallel.replicated(mesh))
    self.calibration, self._mesh = calibration, mesh
    self.fields = predictions.fields_of(config)
    self._steps_for = steps.by_vocabulary_size(self.model, task, mesh)
    self._predictor = Predictor(
      params=self.params,
      encoder=encoder,
      steps_for=self._steps_for,
      mesh=mesh,
      task=task,
      labels=labels,
      head_names=config.head_names,
      calibration=calibration,
      num_texts=config.num_texts,
      batch_size=BATCH_SIZE,
      calibrated=False,
      fields=self.fields,
      fixed_shapes=False,
    )

  def __repr__(self) -> str:
    """Returns its data, scores, size and directory."""
    return facts.as_text('Run', self._facts())

  def _repr_html_(self) -> str:
    return facts.as_html('Run', self._facts())

  def _facts(self) -> dict[str, str]:
    return overview(self.workdir, self.config, self.labels, self.params)

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

      - `label`: the label; for multi_label, a list.
      - `probabilities`: the probability of each label.
      - `tokens`: the tokens of the text, up to `max_length`.
      - `spans`: the [start, end) of each token in the original text, in code
        points; increasing and disjoint. A span is empty if the token before it
        comes from the same character.
      - `truncated`: whether the text has more tokens than that.
      - `empty`: whether the text is missing or blank.
      - `attention`: {`words`: a list of the tokens' weights per head}, or {};
        with embeddings_join=meta also `embeddings`, a list per file.
      - `attention_labels`, `attention_heads`: the label of each head of
        label-wise attention; the name of each head of joined poolings.

      A hierarchical model also returns `sentences`, the number of tokens of
      each. The weights of `words` sum to one in each sentence, and `attention`
      also has `sentences`, a list of the sentences' weights per head.

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
    return self.predictor(batch_size, calibrated, fields, False).stream(texts)

  def predict_table(
    self,
    table: pa.Table | pa.RecordBatch,
    batch_size: int = BATCH_SIZE,
    calibrated: bool = False,
    fields: Collection[str] | None = TABLE_FIELDS,
    text_column: str = '',
  ) -> pa.Table | pa.RecordBatch:
    """Adds the predictions of a PyArrow table's texts to it, as columns.

    Args:
      table: a table or a record batch, as is the result; see `tables.to_arrow`.
      batch_size, calibrated, fields: see `predict`; None for all fields.
      text_column: the column of texts; by default as in training.

    Raises:
      ValueError: see `predict` and `tables.predict_table`.
    """
    predictor = self.predictor(batch_size, calibrated, fields, False)
    column = text_column or self.config.text_column
    return predict_table(predictor, table, column)

  def predictor(
    self,
    batch_size: int = 1,
    calibrated: bool = False,
    fields: Collection[str] | None = None,
    fixed_shapes: bool = True,
  ) -> Predictor:
    """Returns a `Predictor` of few texts at a time, for a service.

    Args:
      batch_size, calibrated, fields: see `predict`.
      fixed_shapes: whether all batches have `batch_size` texts and one of a few
        lengths, so that `Predictor.warm_up` can compile for all of them.

    Raises:
      ValueError: see `predict`.
    """
    size = self._predictor.rounded(check_count('batch_size', batch_size))
    return dataclasses.replace(
      self._predictor,
      params=self.params,
      batch_size=size,
      calibrated=calibrated,
      fields=predictions.choose_fields(fields, self.fields),
      fixed_shapes=fixed_shapes,
    )

  def explain(
    self,
    texts: Sequence[str],
    method: str = METHOD,
    label: str | None = None,
    batch_size: int = BATCH_SIZE,
  ) -> list[dict[str, Any]]:
    """Predicts every text, and says how much each token speaks for the label.

    Args:
      texts: see `predict`.
      method: the name of an attribution, see `attributions.ATTRIBUTIONS`.
      label: the label to explain in all texts; by default the predicted one, or
        with several labels the most probable one of those that are predicted,
        or of all if none is.
      batch_size: the maximum batch size.

    Returns:
      The answers of `predict`, and in each `method`, `explained_label` and:

      - `attribution`: a number for each of `tokens`; a positive one speaks for
        the label, and a negative one against it.
      - `completeness_error`, for integrated gradients: by how much the sum of
        the numbers misses the label's log odds, less those without any word.

    Raises:
      ValueError: the run has no such method or label; or see `predict`.
    """
    return list(self.stream_explanations(texts, method, label, batch_size))

  def stream_explanations(
    self,
    texts: Iterable[str],
    method: str = METHOD,
    label: str | None = None,
    batch_size: int = BATCH_SIZE,
  ) -> Iterator[dict[str, Any]]:
    """Explains like `explain`, in chunks and in constant memory."""
    yield from stream_explanations(
      self.predictor(batch_size, fixed_shapes=False),
      self.model,
      check_texts(texts, self.config.num_texts),
      method,
      label,
    )

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
      A dict with `loss`, `accuracy` and other metrics by name, and the result
      of `by_class.classification_report`. Its attributes have the predictions.

    Raises:
      ValueError: the numbers of texts, labels and weights differ, or are 0; a
        weight is wrong, or a label is not the run's; or see `predict`.
    """
    predictor = self.predictor(batch_size, calibrated, fixed_shapes=False)
    config = self.config
    texts = list(check_texts(texts, config.num_texts))
    columns = to_columns(labels, weights, self.labels, self.workdir, config)
    if len(texts) != len(columns['label']) or not texts:
      raise ValueError(f'{len(texts)} texts and {len(columns["label"])} labels')
    origin_of = origins.__getitem__ if origins else lambda i: f'text {i + 1}'
    return evaluate_texts(predictor, texts, columns, origin_of)
