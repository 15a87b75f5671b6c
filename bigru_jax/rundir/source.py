"""The trained run from which another one starts."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import functools
import hashlib
import pathlib
from typing import Any

from flax import traverse_util
import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.open_files import file_sha256
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.run_vectors import RunVectors
from bigru_jax.data.text import TOKENIZERS
from bigru_jax.data.tokenizer import JsonTokenizer, Tokenizer, load_tokenizer
from bigru_jax.data.vector_sets import Lookup
from bigru_jax.models.build import make_classifier
from bigru_jax.models.embedding import with_joined_table, with_ngrams_in_table
from bigru_jax.rundir import best_params, files, published

# The fields that decide the shapes and the meaning of what is copied.
_FIELDS = (
  'model', 'encoder', 'embedding_size', 'hidden_size', 'num_layers',
  'tokenizer', 'replace_urls_and_users',
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
  """A trained run, of any model, or a published one.

  Attributes:
    name: its directory or `hf://owner/name`.
    workdir: its folder.
    config: its configuration.
    labels: the names of its classes; none of a model without them.
    tokenizer: its tokenizer.
    params: its best parameters, as nested dicts of NumPy arrays, whose table
      has the vectors of words: n-grams and joined sets are part of them.
    sha256: the digest of its words and trained parameters.
  """

  name: str
  workdir: pathlib.Path
  config: Config
  labels: list[str]
  tokenizer: Tokenizer
  params: dict[str, Any]
  sha256: str

  @functools.cached_property
  def vectors(self) -> RunVectors:
    """The vectors of its words; of none if a `tokenizer.json` gives the ids."""
    return RunVectors.of(
      self.name,
      self.sha256,
      self.tokenizer.vocabulary or [],
      self.params['embedding'],
    )

  def words(self) -> list[str]:
    """Returns the token of each row of the table."""
    if isinstance(self.tokenizer, JsonTokenizer):
      return ['<pad>', '<unk>', *self.tokenizer.tokens()]
    return self.tokenizer.vocabulary

  def check_fits(self, config: Config) -> None:
    """Checks that a new run can start from this one.

    Raises:
      ValueError: a field differs; the message has both values.
    """
    for name in _FIELDS:
      value, of_source = getattr(config, name), getattr(self.config, name)
      if name == 'embedding_size':
        of_source = self.params['embedding'].shape[1]  # Sets may be joined.
      if name == 'tokenizer' and {value, of_source}.isdisjoint(TOKENIZERS):
        copied = self.workdir / 'tokenizer.json'
        if file_sha256(value, name) == file_sha256(copied, name):
          continue
      if value != of_source:
        raise ValueError(
          f'{name}={value} does not fit init_from={self.name}, which has '
          f'{name}={of_source}'
        )


def read_source(config: Config) -> Source | None:
  """Returns the run that a configuration starts from; None if there is none.

  Raises:
    FileNotFoundError, ValueError, OSError: see `open_source` and `check_fits`.
  """
  if not config.init_from:
    return None
  source = open_source(config.init_from, 'init_from')
  source.check_fits(config)
  return source


def prepare_from(
  config: Config, prepare: Callable[..., Dataset]
) -> tuple[Dataset, Source | None]:
  """Returns the data of a configuration, and the run that it starts from.

  Args:
    config: the configuration.
    prepare: `data.prepare.prepare` or `data.cache.prepare_shared`.

  Raises:
    FileNotFoundError, ValueError, OSError: see `read_source` and `prepare`.
  """
  source = read_source(config)
  return prepare(config, of_run=source.vectors if source else None), source


def open_source(name: str, field: str = 'workdir') -> Source:
  """Opens a run directory or a published model, of any model.

  Args:
    name: its directory, or `hf://owner/name`.
    field: the field that names it, for messages.

  Raises:
    FileNotFoundError, ValueError, OSError: it is missing, has no parameters yet
      or is corrupt.
  """
  try:
    return _open(name)
  except FileNotFoundError as error:
    raise FileNotFoundError(_of_field(error, field)) from error
  except ValueError as error:
    raise ValueError(_of_field(error, field)) from error


def lookup_of(name: str, sha256: str) -> Lookup:
  """Opens the run that another one started from, to look up words.

  Raises:
    FileNotFoundError, ValueError: it is missing, or has changed since.
  """
  source = open_source(name, 'init_from')
  if source.sha256 != sha256:
    raise ValueError(f'init_from={name} changed since it was started from')
  return source.vectors.lookup


def _open(name: str) -> Source:
  workdir = published.find(name)
  files.check_is_network(workdir)
  config = files.read_config(workdir)
  tokenizer = load_tokenizer(
    workdir, config.tokenizer, config.replace_urls_and_users
  )
  if files.exists(workdir / published.PARAMS):
    params = published.read_any_params(workdir)
  else:
    params = best_params.read(
      workdir, 'averaged_params' if config.ema_decay else 'params'
    )
  is_language_model = config.task == 'language_model'
  model = make_classifier(config, tokenizer.size, 1, tokenizer.vocabulary)
  _, with_ngrams = with_ngrams_in_table(model, params)
  with_vectors, _ = with_joined_table(with_ngrams)
  return Source(
    name=name,
    workdir=workdir,
    config=config,
    labels=[] if is_language_model else files.read_labels(workdir),
    tokenizer=tokenizer,
    params=with_vectors,
    sha256=_digest(tokenizer.vocabulary or [], params),
  )


def _of_field(error: Exception, field: str) -> str:
  """Returns the message of an error about a run, which another field names."""
  return str(error).replace('workdir=', f'{field}=', 1)


def _digest(words: list[str], params: dict[str, Any]) -> str:
  digest = hashlib.sha256('\n'.join(words).encode('utf-8', 'surrogatepass'))
  by_name = traverse_util.flatten_dict(params, sep='.')
  for name, array in sorted(by_name.items()):
    digest.update(name.encode())
    digest.update(np.ascontiguousarray(array).data)
  return digest.hexdigest()
