"""Lazy AdamW: rows of the embedding table that no text of a batch uses wait.

Dense AdamW changes every row in every step, also without a gradient: its
moments shrink, their remainder still moves it, and it decays. Here, a row
catches up when it is next used, or at the end of an epoch, on all the steps
that it has missed. The result is dense AdamW's, up to the rounding of float32.

A row whose moments after step s were m and v would have moved in step t = s + j
by lr_t b1^j m / (1 - b1^t) / (sqrt(b2^j v / (1 - b2^t)) + eps). With
x = sqrt(v), this is m c_j / (x + eps b_j), where neither b_j nor c_j depend on
the feature, so the sum over j needs few operations per feature: within the
groups of `_ENDS`, b_j is nearly constant, and a series to the second order in
its deviation suffices. After `_ENDS[-1]` steps b1^j is below the resolution of
float32, and only the decay remains, whose logarithm is a difference of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import optax

from bigru_jax import parallel
from bigru_jax.data.text import PAD_ID, UNK_ID
from bigru_jax.training.state import TrainState

# As in optax.adamw.
_B1, _B2, _EPS = 0.9, 0.999, 1e-8
# The last missed steps of each group.
_ENDS = 4, 12, 32, 160
_MOMENTS = 'mu', 'nu'
_UNTRAINED = -1  # The `last_step` of a row that never changes.


class LazyState(NamedTuple):
  """The state of lazy AdamW.

  Attributes:
    inner: the state of the optimizer, with the moments of all rows.
    num_steps: the number of steps, without the non-finite ones.
    last_step: [V], the step up to which each row has caught up.
    history: [steps_per_epoch + 1, 3]: in row t % (steps_per_epoch + 1) the
      learning rate of step t and the sum of the decay's logarithms up to it, as
      a float32 and its rounding error.
  """

  inner: Any
  num_steps: jax.Array
  last_step: jax.Array
  history: jax.Array


def lazy(
  optimizer: optax.GradientTransformation,
  learning_rate: optax.Schedule,
  weight_decay: float,
  steps_per_epoch: int,
  num_trained_words: int | None = None,
) -> optax.GradientTransformation:
  """Returns AdamW which records what waiting rows need to catch up.

  Args:
    optimizer: AdamW, with what is chained to it.
    learning_rate: that of the embedding table.
    weight_decay: that of the embedding table.
    steps_per_epoch: the largest number of steps that a row can wait.
    num_trained_words: see `make_optimizer`.
  """

  def init(params):
    words = jnp.arange(len(params['embedding']))
    is_trained = words < (num_trained_words or len(words))
    return LazyState(
      inner=optimizer.init(params),
      num_steps=jnp.int32(0),
      last_step=jnp.where(is_trained, 0, _UNTRAINED),
      history=jnp.zeros((steps_per_epoch + 1, 3)),
    )

  def update(grads, state, params=None):
    updates, inner = optimizer.update(grads, state.inner, params)
    size = len(state.history)
    rate = jnp.float32(learning_rate(state.num_steps))
    _, total, error = state.history[state.num_steps % size]
    total, error = _add(total, jnp.log1p(-rate * weight_decay), error)
    count = state.num_steps + 1
    return updates, LazyState(
      inner=inner,
      num_steps=count,
      last_step=jnp.full_like(state.last_step, count),
      history=state.history.at[count % size].set(
        jnp.stack([rate, total, error])
      ),
    )

  return optax.GradientTransformation(init, update)


def on_used_rows(step: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
  """Returns a training step that reads and writes only the rows of its batch.

  The step sees a table of these rows alone, which have caught up, and tokens
  that are indices of it. <unk> is always there, for word dropout.

  Args:
    step: (state, batch) -> (state, anything), of `lazy`'s optimizer.
    mesh: the devices.
  """

  def step_on_used_rows(state, batch):
    tokens, waiting = batch['tokens'], state.opt_state.last_step
    special = jnp.array([PAD_ID, UNK_ID], tokens.dtype)
    rows_U, indices = jnp.unique(
      jnp.concatenate([special, tokens.ravel()]),
      size=min(len(special) + tokens.size, len(waiting)),
      fill_value=len(waiting),  # This row does not exist: it is not written.
      return_inverse=True,
    )
    indices = indices[len(special) :].reshape(tokens.shape)
    tables = [
      x.at[rows_U].get(mode='fill', fill_value=0) for x in _tables(state)
    ]
    last_U = waiting.at[rows_U].get(mode='fill', fill_value=_UNTRAINED)
    used = catch_up(_with_tables(state, tables, last_U))
    used, result = step(used, {**batch, 'tokens': indices})
    *tables, last_V = (
      whole.at[rows_U].set(
        rows, mode='drop', unique_indices=True, indices_are_sorted=True
      )
      for whole, rows in zip(
        (*_tables(state), waiting), (*_tables(used), used.opt_state.last_step)
      )
    )
    return _on_mesh(_with_tables(used, tables, last_V), mesh), result

  return step_on_used_rows


def make_catch_up_step(mesh: Mesh) -> jax.stages.Wrapped:
  """Returns a jitted `catch_up`, which donates the state."""

  def catch_up_step(state):
    return _on_mesh(catch_up(state), mesh)

  return jax.jit(
    catch_up_step,
    donate_argnums=0,
    compiler_options=parallel.compiler_options(mesh),
  )


def catch_up(state: TrainState) -> TrainState:
  """Returns the state in which no row waits."""
  lazy_state = state.opt_state
  last_step = lazy_state.last_step
  missed = jnp.where(
    last_step == _UNTRAINED, 0, lazy_state.num_steps - last_step
  )
  # There are at most as many different coefficients as steps in the history.
  size = len(lazy_state.history)
  if len(missed) > size:
    log_decay, groups = jax.tree.map(
      lambda x: x[missed], _coefficients(lazy_state, jnp.arange(size))
    )
  else:
    log_decay, groups = _coefficients(lazy_state, missed)
  p_VxE, mu_VxE, nu_VxE = _tables(state)
  root_VxE, moved_VxE = jnp.sqrt(nu_VxE), 0
  for group in groups:
    total, mean, spread = (x[:, None] for x in group)
    y_VxE = root_VxE + mean
    moved_VxE += (total + spread / y_VxE**2) / y_VxE
  p_VxE += p_VxE * jnp.expm1(log_decay)[:, None] - mu_VxE * moved_VxE
  powers = missed.astype(jnp.float32)[:, None]
  return _with_tables(
    state,
    (p_VxE, mu_VxE * _B1**powers, nu_VxE * _B2**powers),
    jnp.where(last_step == _UNTRAINED, last_step, lazy_state.num_steps),
  )


def _coefficients(
  state: LazyState, missed_N: jax.Array
) -> tuple[jax.Array, list[tuple[jax.Array, jax.Array, jax.Array]]]:
  """Returns what rows need that have missed the last steps.

  Args:
    state: the state.
    missed_N: the number of steps that each has missed.

  Returns:
    The logarithm of the decay [N]; and for each group of steps the sum of c_j
    [N], the mean of eps b_j weighted by c_j [N], and their spread [N], the sum
    of c_j (eps b_j - mean)^2.
  """
  size = len(state.history)
  last_N = state.num_steps - missed_N
  _, *now = state.history[state.num_steps % size]

  def log_decay_since(total, error):
    return (now[0] - total) + (now[1] - error)

  after_J = jnp.arange(1, _ENDS[-1] + 1)
  step_NxJ = jnp.maximum(last_N[:, None] + after_J, 1)
  rate_NxJ, *sums = jnp.moveaxis(state.history[step_NxJ % size], -1, 0)
  rate_NxJ = jnp.where(after_J <= missed_N[:, None], rate_NxJ, 0)
  b_NxJ = _EPS * jnp.sqrt(_one_less_power(_B2, step_NxJ) / _B2**after_J)
  c_NxJ = rate_NxJ * jnp.exp(log_decay_since(*sums)) * _B1**after_J
  c_NxJ *= b_NxJ / _EPS / _one_less_power(_B1, step_NxJ)
  groups = []
  for start, end in zip((0, *_ENDS), _ENDS):
    b, c = b_NxJ[:, start:end], c_NxJ[:, start:end]
    total = c.sum(1)
    mean = jnp.where(total > 0, (b * c).sum(1) / total, _EPS)
    groups.append((total, mean, (c * (b - mean[:, None]) ** 2).sum(1)))
  _, *sums = jnp.moveaxis(state.history[last_N % size], -1, 0)
  return log_decay_since(*sums), groups


def _on_mesh(state: TrainState, mesh: Mesh) -> TrainState:
  shardings = parallel.shardings(state, mesh)
  return jax.lax.with_sharding_constraint(state, shardings)


def _one_less_power(base: float, exponent: jax.Array) -> jax.Array:
  """Returns 1 - base^exponent, without cancellation."""
  return -jnp.expm1(exponent * jnp.log(base))


def _add(
  total: jax.Array, x: jax.Array, error: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Adds x to a sum with its rounding error (Knuth's TwoSum)."""
  new = total + x
  part = new - total
  return new, error + ((total - (new - part)) + (x - part))


def _tables(state: TrainState) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns the embedding table and its moments."""
  moments = (optax.tree.get(state.opt_state.inner, x) for x in _MOMENTS)
  return state.params['embedding'], *(x['embedding'] for x in moments)


def _with_tables(
  state: TrainState, tables: Iterable[jax.Array], last_step: jax.Array
) -> TrainState:
  """Returns the state with other `_tables` and another `last_step`."""
  table, *moments = tables
  inner = state.opt_state.inner
  changed = {
    name: {**optax.tree.get(inner, name), 'embedding': moment}
    for name, moment in zip(_MOMENTS, moments)
  }
  return state.replace(
    params={**state.params, 'embedding': table},
    opt_state=state.opt_state._replace(
      inner=optax.tree.set(inner, **changed), last_step=last_step
    ),
  )
