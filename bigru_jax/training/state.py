"""The train state: one pytree, saved whole."""

from __future__ import annotations

from typing import Any

from flax import struct
import jax
import jax.numpy as jnp


class TrainState(struct.PyTreeNode):
  """The values that a training step changes.

  A checkpoint saves and restores every field, including fields that are added
  here.

  Attributes:
    step: the number of steps done.
    params: the model's parameters.
    opt_state: the optimizer's state.
    loss_sum: the sum of this epoch's finite losses.
    nonfinite: the number of non-finite steps of this epoch, which are skipped.
    consecutive_nonfinite: the number of consecutive ones, up to now.
    averaged_params: the moving average of the parameters, or None.
  """

  step: jax.Array
  params: Any
  opt_state: Any
  loss_sum: jax.Array
  nonfinite: jax.Array
  consecutive_nonfinite: jax.Array
  averaged_params: Any

  @classmethod
  def create(
    cls,
    params: Any,
    optimizer: Any,
    averaged: bool = False,
  ) -> TrainState:
    """Returns the state before the first step.

    Args:
      params: the initial parameters.
      optimizer: its `init` makes the state of the optimizer.
      averaged: whether to keep a moving average of the parameters.
    """
    return cls(
      step=jnp.int32(0),
      params=params,
      # One program; otherwise each shape would compile one.
      opt_state=jax.jit(lambda params: optimizer.init(params))(params),
      loss_sum=jnp.float32(0),
      nonfinite=jnp.int32(0),
      consecutive_nonfinite=jnp.int32(0),
      averaged_params=jax.tree.map(jnp.copy, params) if averaged else None,
    )

  @property
  def evaluated(self) -> str:
    """The field that is evaluated: the averaged parameters if there are any."""
    return 'params' if self.averaged_params is None else 'averaged_params'

  @property
  def evaluated_params(self) -> Any:
    """The parameters that are evaluated."""
    return getattr(self, self.evaluated)
