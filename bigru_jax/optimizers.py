"""Optimizers, learning-rate schedules, and the parameters they apply to."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
  'constant': lambda peak, steps: optax.constant_schedule(peak),
  'cosine': optax.cosine_decay_schedule,
  'linear': lambda peak, steps: optax.linear_schedule(peak, 0.0, steps),
}


def make_schedule(
  name: str, learning_rate: float, warmup: float, steps: int
) -> optax.Schedule:
  """Returns the learning rate as a function of the step.

  Args:
    name: `constant`, `cosine` (to zero; Loshchilov & Hutter, 2017,
      https://arxiv.org/abs/1608.03983) or `linear` (to zero).
    learning_rate: the peak.
    warmup: the share of all steps over which the rate first rises from zero.
    steps: the number of steps of the run.
  """
  warmup_steps = int(warmup * steps)
  after = SCHEDULES[name](learning_rate, max(steps - warmup_steps, 1))
  if not warmup_steps:
    return after
  rise = optax.linear_schedule(0.0, learning_rate, warmup_steps)
  return optax.join_schedules([rise, after], [warmup_steps])


def decayed(params: Any) -> Any:
  """Returns which parameters decay: those named kernel or embedding.

  Biases do not, and the queries of attention do not.
  """
  names = ('kernel', 'embedding')
  return jax.tree.map_with_path(
    lambda path, _: any(name in path[-1].key for name in names), params
  )


def is_embedding(params: Any) -> Any:
  """Returns which parameter is the embedding table."""
  return jax.tree.map_with_path(
    lambda path, _: path[-1].key == 'embedding', params
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
  """An entry of `OPTIMIZERS`.

  Attributes:
    make: (learning rate or schedule, weight decay) -> the transformation,
      whose update is a multiple of its learning rate.
    has_decay: whether the weight decay has an effect.
    is_lazy: whether rows of the embedding table wait until they are used; see
      `training.lazy_rows`.
    is_adam: whether `make` is Adam with optax's default constants, and with
      decoupled decay of the `decayed` parameters if it has any; on a CPU
      `ops.adamw` then makes its steps.
  """

  make: Callable[[optax.ScalarOrSchedule, float], optax.GradientTransformation]
  has_decay: bool = False
  is_lazy: bool = False
  is_adam: bool = False


def _adamw(
  learning_rate: optax.ScalarOrSchedule, weight_decay: float
) -> optax.GradientTransformation:
  return optax.adamw(learning_rate, weight_decay=weight_decay, mask=decayed)


OPTIMIZERS = {
  'adamw': Optimizer(make=_adamw, has_decay=True, is_adam=True),
  'lazy_adamw': Optimizer(
    make=_adamw, has_decay=True, is_adam=True, is_lazy=True
  ),
  'adam': Optimizer(make=lambda rate, decay: optax.adam(rate), is_adam=True),
  'sgd': Optimizer(make=lambda rate, decay: optax.sgd(rate, momentum=0.9)),
}


class Adam(NamedTuple):
  """A transformation of optax, and the numbers that `ops.adamw` needs.

  Attributes:
    init, update: those of the `optax.GradientTransformation`.
    learning_rate, weight_decay, clip_norm, learning_rate_factors,
      num_trained_words: see `make_optimizer`.
  """

  init: Callable[..., Any]
  update: Callable[..., Any]
  learning_rate: optax.ScalarOrSchedule
  weight_decay: float
  clip_norm: float
  learning_rate_factors: Mapping[str, float]
  num_trained_words: int | None

  def factor(self, path: Any) -> float:
    """Returns the factor of the learning rate of the parameter at a path."""
    return self.learning_rate_factors.get(path[0].key, 1.0)


def make_optimizer(
  name: str = 'adamw',
  learning_rate: optax.ScalarOrSchedule = 1e-3,
  weight_decay: float = 1e-2,
  clip_norm: float = 0.0,
  freeze_embeddings: bool = False,
  learning_rate_factors: Mapping[str, float] = types.MappingProxyType({}),
  num_trained_words: int | None = None,
  frozen_columns: Sequence[tuple[int, int]] = (),
) -> optax.GradientTransformation | Adam:
  """Builds the gradient transformation.

  Args:
    name: `adamw` (decoupled decay, Loshchilov & Hutter, 2019,
      https://arxiv.org/abs/1711.05101), `adam` (Kingma & Ba, 2015,
      https://arxiv.org/abs/1412.6980) or `sgd` (momentum 0.9).
    learning_rate: a number or a schedule.
    weight_decay: the decay of `adamw`, on the parameters that `decayed` names.
    clip_norm: the global norm to which gradients are clipped; 0 for none.
    freeze_embeddings: whether the embedding table is not trained.
    learning_rate_factors: the learning rates of parts of the model, such as
      `embedding` and `encoder`, over that of the other parameters.
    num_trained_words: the number of rows of the embedding table that are
      trained; the rows after them, of words unseen in training, do not change.
      By default all are trained.
    frozen_columns: the columns of the embedding table that are not trained, as
      pairs of start and stop.
  """
  entry = OPTIMIZERS[name]
  transformation = _restricted(
    entry.make(learning_rate, weight_decay),
    clip_norm,
    freeze_embeddings,
    learning_rate_factors,
    num_trained_words,
    frozen_columns,
  )
  if not entry.is_adam or frozen_columns:
    return transformation
  return Adam(
    init=transformation.init,
    update=transformation.update,
    learning_rate=learning_rate,
    weight_decay=weight_decay if entry.has_decay else 0.0,
    clip_norm=clip_norm,
    learning_rate_factors=learning_rate_factors,
    num_trained_words=num_trained_words,
  )


def _restricted(
  optimizer: optax.GradientTransformation,
  clip_norm: float,
  freeze_embeddings: bool,
  learning_rate_factors: Mapping[str, float],
  num_trained_words: int | None,
  frozen_columns: Sequence[tuple[int, int]],
) -> optax.GradientTransformation:
  """Clips the gradients, and limits what changes; see `make_optimizer`."""
  if clip_norm:
    optimizer = optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
  for name, factor in learning_rate_factors.items():
    if factor != 1:
      # Every optimizer's update is a multiple of its learning rate.
      scale = optax.masked(optax.scale(factor), _is_part(name))
      optimizer = optax.chain(optimizer, scale)
  if freeze_embeddings:

    def label(params):
      return jax.tree.map(
        lambda frozen: 'frozen' if frozen else 'trained', is_embedding(params)
      )

    return optax.partition(
      {'trained': optimizer, 'frozen': optax.set_to_zero()}, label
    )
  if num_trained_words is not None:
    # The other rows have no gradient, but weight decay would shrink them.
    only = optax.stateless_with_tree_map(
      lambda update_VxE, _: jnp.where(
        jnp.arange(len(update_VxE))[:, None] < num_trained_words, update_VxE, 0
      )
    )
    optimizer = optax.chain(optimizer, optax.masked(only, is_embedding))
  if frozen_columns:
    trained = optax.masked(_trained_columns(frozen_columns), is_embedding)
    # First for the norm of the clipping, then for the weight decay.
    optimizer = optax.chain(trained, optimizer, trained)
  return optimizer


def _is_part(name: str) -> Callable[[Any], Any]:
  """Returns the function that says which parameters belong to a part."""
  return lambda params: jax.tree.map_with_path(
    lambda path, _: path[0].key == name, params
  )


def _trained_columns(
  frozen_columns: Sequence[tuple[int, int]],
) -> optax.GradientTransformation:
  """Sets the columns of updates that are not trained to zero."""

  def without_frozen(update_VxE, _):
    columns = np.arange(update_VxE.shape[1])
    is_frozen = [(a <= columns) & (columns < b) for a, b in frozen_columns]
    return jnp.where(np.any(is_frozen, axis=0), 0, update_VxE)

  return optax.stateless_with_tree_map(without_frozen)
