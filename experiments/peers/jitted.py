"""The works of a peer in JAX, from its functions `init` and `apply`.

One host device with all threads and XLA's default flags; optax's Adam.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from peers import task as tasks


def build(case, make_encoder, make_classifier):
  """See `peers`.

  Args:
    case: the `task.Case`.
    make_encoder: hidden size -> init(key, x_BxTxE) -> params, and
      apply(params, x_BxTxE) -> h_BxTx2H.
    make_classifier: case, task -> init(key, tokens_BxT, lengths_B) -> params,
      and apply(params, tokens_BxT, lengths_B, key) -> logits_BxC, where the key
      is for dropout, or None for none.
  """
  if case.work in ('forward', 'backward'):
    return _encoder(case, *make_encoder(case.hidden))
  task = tasks.make_task(case)
  init, apply = make_classifier(case, task)
  batch = next(task.batches(task.plan(case.batch), case.batch))
  params = init(jax.random.key(0), batch['tokens'], batch['lengths'])
  if case.work == 'inference':
    return _inference(case, task, params, apply)
  return _training(case, task, params, apply)


def masked_scores(scores_BxT, lengths_B):
  """Minus infinity, nearly, at padding."""
  mask_BxT = jnp.arange(scores_BxT.shape[1]) < lengths_B[:, None]
  return jnp.where(mask_BxT, scores_BxT, -1e9)


def _encoder(case, init, apply):
  x_BxTxE, dy_BxTx2H = map(jnp.asarray, tasks.encoder_arrays(case))
  params = init(jax.random.key(0), x_BxTxE)
  if case.work == 'forward':
    forward = jax.jit(apply).lower(params, x_BxTxE).compile()
    return lambda: jax.block_until_ready(forward(params, x_BxTxE))

  def gradients(params, x_BxTxE, dy_BxTx2H):
    return jax.vjp(apply, params, x_BxTxE)[1](dy_BxTx2H)

  arguments = params, x_BxTxE, dy_BxTx2H
  run = jax.jit(gradients).lower(*arguments).compile()
  return lambda: jax.block_until_ready(run(*arguments))[1]


def _training(case, task, params, apply):
  optimizer = optax.adam(tasks.LEARNING_RATE)

  def step(state, batch):
    params, moments, key = state
    key, dropout_key = jax.random.split(key)

    def mean_loss(params):
      logits_BxC = apply(params, batch['tokens'], batch['lengths'], dropout_key)
      losses_B = optax.softmax_cross_entropy_with_integer_labels(
        logits_BxC, batch['labels']
      )
      return jnp.sum(losses_B * batch['weights']) / jnp.sum(batch['weights'])

    loss, grads = jax.value_and_grad(mean_loss)(params)
    updates, moments = optimizer.update(grads, moments)
    return (optax.apply_updates(params, updates), moments, key), loss

  state = params, optimizer.init(params), jax.random.key(0)
  steps = {}
  for length in task.buckets:
    batch = next(task.batches([(length, np.arange(1))], case.batch))
    lowered = jax.jit(step, donate_argnums=0).lower(state, batch)
    steps[length] = lowered.compile()
  epoch = 0

  def call():
    nonlocal state, epoch
    epoch += 1
    plan = task.plan(case.batch, epoch)
    for batch in task.batches(plan, case.batch):
      state, loss = steps[batch['tokens'].shape[1]](state, batch)
    jax.block_until_ready(state)
    return loss if case.work == 'step' else len(task.encoded.tokens)

  return call


def _inference(case, task, params, apply):
  @jax.jit
  def logits(params, tokens_BxT, lengths_B):
    return apply(params, tokens_BxT, lengths_B, None)

  def predict_batch(batch):
    return logits(params, batch['tokens'], batch['lengths'])

  return lambda: tasks.predict(task, case.batch, predict_batch)
