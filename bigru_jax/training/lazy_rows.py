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
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
from jax.sharding import Mesh
import optax

from bigru_jax import optimizers, parallel
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
    dense: the state of the dense optimizer, with the moments of all rows.
    last_step: [V], the step up to which each row has caught up. Steps that are
      not finite do not count.
    history: [steps_per_epoch + 1, 3]: in row t % (steps_per_epoch + 1) the
      learning rate of step t and the sum of the decay's logarithms up to it, as
      a float32 and its rounding error.
  """

  dense: Any
  last_step: jax.Array
  history: jax.Array


class LazyAdamW(NamedTuple):
  """AdamW, and what waiting rows need to catch up.

  Attributes:
    dense: AdamW of all rows that are trained.
    steps_per_epoch: the largest number of steps that a row can wait.
    num_trained_words: the number of rows that are trained; None for all.
  """

  dense: optimizers.Adam
  steps_per_epoch: int
  num_trained_words: int | None = None

  def init(self, params: Any) -> LazyState:
    """Returns the state before the first step."""
    words = jnp.arange(len(params['embedding']))
    is_trained = words < (self.num_trained_words or len(words))
    return LazyState(
      dense=self.dense.init(params),
      last_step=jnp.where(is_trained, 0, _UNTRAINED),
      history=jnp.zeros((self.steps_per_epoch + 1, 3)),
    )

  def record(self, history: jax.Array, step: jax.Array) -> jax.Array:
    """Adds a step, from 1, to the history of the steps before it."""
    size, rate = len(history), self.dense.learning_rate
    rate = rate(step - 1) if callable(rate) else rate
    rate = jnp.float32(
      rate * self.dense.learning_rate_factors.get('embedding', 1.0)
    )
    _, total, error = history[(step - 1) % size]
    total, error = _add(
      total, jnp.log1p(-rate * self.dense.weight_decay), error
    )
    return history.at[step % size].set(jnp.stack([rate, total, error]))


def on_used_rows(
  step: Callable[..., Any], optimizer: LazyAdamW, mesh: Mesh
) -> Callable[..., Any]:
  """Returns a training step that reads and writes only the rows of its batch.

  The dense step sees a table of these rows alone, which have caught up, and
  tokens that are indices of it. <unk> is always there, for word dropout.

  Args:
    step: (state, batch) -> (state, anything), a step of `optimizer.dense`.
    optimizer: the optimizer of the state.
    mesh: the devices.
  """

  def step_on_used_rows(state, batch):
    _, last_V, history = state.opt_state
    tokens_N, unravel = ravel_pytree(_tokens(batch))
    special = jnp.array([PAD_ID, UNK_ID], tokens_N.dtype)
    rows_U, indices = jnp.unique(
      jnp.concatenate([special, tokens_N]),
      size=min(len(special) + tokens_N.size, len(last_V)),
      fill_value=len(last_V),  # This row does not exist: it is not written.
      return_inverse=True,
    )
    batch = _with_tokens(batch, unravel(indices[len(special) :]))
    tables = [
      x.at[rows_U].get(mode='fill', fill_value=0) for x in _tables(state)
    ]
    last_U = last_V.at[rows_U].get(mode='fill', fill_value=_UNTRAINED)
    used = catch_up(_with_tables(state, tables, last_U))
    used, result = step(
      used.replace(opt_state=used.opt_state.dense),
      batch,
    )
    num_steps = _num_steps(used.opt_state)
    history = jnp.where(  # It is not finite if the number is the same.
      num_steps > _num_steps(state.opt_state.dense),
      optimizer.record(history, num_steps),
      history,
    )
    used = used.replace(opt_state=LazyState(used.opt_state, last_U, history))
    tables = [
      x.at[rows_U].set(
        rows, mode='drop', unique_indices=True, indices_are_sorted=True
      )
      for x, rows in zip(_tables(state), _tables(used))
    ]
    last_V = last_V.at[rows_U].set(num_steps, mode='drop')
    return _on_mesh(_with_tables(used, tables, last_V), mesh), result

  return step_on_used_rows


def _tokens(batch: parallel.Batch) -> parallel.Batch:
  """Returns the tokens of a batch, and those of its texts without labels."""
  tokens = {'tokens': batch['tokens']}
  if 'unlabelled' in batch:
    tokens['unlabelled'] = _tokens(batch['unlabelled'])
  return tokens


def _with_tokens(
  batch: parallel.Batch, tokens: parallel.Batch
) -> parallel.Batch:
  """Returns a batch with other `_tokens`."""
  batch = {**batch, 'tokens': tokens['tokens']}
  if 'unlabelled' in batch:
    batch['unlabelled'] = _with_tokens(
      batch['unlabelled'], tokens['unlabelled']
    )
  return batch


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
  last_step, num_steps = lazy_state.last_step, _num_steps(lazy_state.dense)
  missed = jnp.where(last_step == _UNTRAINED, 0, num_steps - last_step)
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
    jnp.where(last_step == _UNTRAINED, last_step, num_steps),
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
  num_steps = _num_steps(state.dense)
  last_N = num_steps - missed_N
  _, *now = state.history[num_steps % size]

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


def _num_steps(dense: Any) -> jax.Array:
  """Returns the number of finite steps, from AdamW's state."""
  return optax.tree.get(dense, 'ScaleByAdamState').count


def _tables(state: TrainState) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns the embedding table and its moments."""
  moments = (optax.tree.get(state.opt_state.dense, x) for x in _MOMENTS)
  return state.params['embedding'], *(x['embedding'] for x in moments)


def _with_tables(
  state: TrainState, tables: Iterable[jax.Array], last_step: jax.Array
) -> TrainState:
  """Returns the state with other `_tables` and another `last_step`."""
  table, *moments = tables
  dense = state.opt_state.dense
  changed = {
    name: {**optax.tree.get(dense, name), 'embedding': moment}
    for name, moment in zip(_MOMENTS, moments)
  }
  return state.replace(
    params={**state.params, 'embedding': table},
    opt_state=state.opt_state._replace(
      dense=optax.tree.set(dense, **changed), last_step=last_step
    ),
  )
