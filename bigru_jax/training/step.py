"""The jitted training step."""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import optax

from bigru_jax import optimizers, parallel
from bigru_jax.ops.dropout import example_keys, weight_drop
from bigru_jax.training import update
from bigru_jax.training.lazy_rows import LazyAdamW, on_used_rows


def make_train_step(
  loss_fn: parallel.LossFn,
  optimizer: optax.GradientTransformation | optimizers.Adam | LazyAdamW,
  mesh: Mesh,
  seed: int,
  weight_drop_rate: float = 0.0,
  ema_decay: float = 0.0,
) -> jax.stages.Wrapped:
  """Returns a jitted function (state, batch) -> (state, consecutive_nonfinite).

  The state is donated. A step whose loss or gradient is not finite changes
  neither parameters nor optimizer state, and is counted.

  Args:
    loss_fn: (params, batch, keys_B) -> (losses_B, outputs).
    optimizer: the gradient transformation.
    mesh: the devices.
    seed: the seed of the dropout keys.
    weight_drop_rate: see `ops.dropout.weight_drop`.
    ema_decay: d of the parameters' exponential moving average, m <- d m +
      (1 - d) p, if the state has one (after the averages of Polyak & Juditsky,
      1992, https://doi.org/10.1137/0330046). At step t it is at most
      (1 + t) / (10 + t), as in TensorFlow's `ExponentialMovingAverage`, so that
      the initial parameters are soon forgotten.
  """
  value_and_grad = parallel.value_and_grad(loss_fn, mesh)
  dense = optimizer.dense if isinstance(optimizer, LazyAdamW) else optimizer

  def train_step(state, batch):
    keys_B = example_keys(seed, state.step, len(batch['weights']))
    # A key of the whole batch, the same for each of its examples. It is in the
    # batch because a device sees the keys of its own examples alone, from which
    # it cannot tell one that all devices share.
    batch = {**batch, 'step_keys': jnp.broadcast_to(keys_B[0], keys_B.shape)}
    if weight_drop_rate:
      dropped, pull_back = jax.vjp(
        lambda params: weight_drop(params, weight_drop_rate, keys_B[0]),
        state.params,
      )
      loss, grads = value_and_grad(dropped, batch, keys_B)
      (grads,) = pull_back(grads)
    else:
      loss, grads = value_and_grad(state.params, batch, keys_B)
    params, opt_state, finite = update.apply(
      dense, mesh, loss, grads, state.opt_state, state.params
    )
    averaged_params = state.averaged_params
    if averaged_params is not None:
      decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
      averaged_params = optax.incremental_update(
        params, averaged_params, 1 - decay
      )
    state = state.replace(
      step=state.step + 1,
      params=params,
      opt_state=opt_state,
      loss_sum=state.loss_sum + jnp.where(finite, loss, 0),
      nonfinite=state.nonfinite + ~finite,
      consecutive_nonfinite=jnp.where(
        finite, 0, state.consecutive_nonfinite + 1
      ),
      averaged_params=averaged_params,
    )
    state = jax.lax.with_sharding_constraint(
      state, parallel.shardings(state, mesh)
    )
    return state, state.consecutive_nonfinite

  if isinstance(optimizer, LazyAdamW):
    train_step = on_used_rows(train_step, optimizer, mesh)
  return jax.jit(
    train_step,
    donate_argnums=0,
    compiler_options=parallel.compiler_options(mesh),
  )
