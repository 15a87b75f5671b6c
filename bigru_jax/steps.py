"""The model of a configuration, the train state, and the jitted steps."""

from flax.training import train_state
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
import numpy as np
import optax

from bigru_jax import losses, models, sharding

_EVERYWHERE, _BY_ROW = PartitionSpec(), PartitionSpec('data')
_EMBEDDED = PartitionSpec(None, 'data')  # x_TxBxE.


def make_model(config, vocabulary_size, num_classes):
  """The classifier that a configuration describes."""
  return models.Classifier(
    vocabulary_size=vocabulary_size,
    num_outputs=losses.num_outputs(config.loss, num_classes),
    embedding_size=config.embedding_size,
    hidden_size=config.hidden_size,
    num_layers=config.num_layers,
    attention=config.attention,
    dropout=config.dropout,
    embedding_dropout=config.embedding_dropout,
    recurrent_dropout=config.recurrent_dropout,
    dtype=jnp.dtype(config.dtype),
  )


def _init(model):
  one_text = jnp.ones((1, 2), jnp.int32), jnp.ones(1, jnp.int32)
  return lambda key: model.init(key, *one_text)['params']


def init_params(model, seed):
  """Initial parameters, a function of the seed alone."""
  return jax.jit(_init(model))(jax.random.key(seed))


def abstract_params(model, mesh):
  """The parameters' shapes and types, all of them on every device."""
  shapes = jax.eval_shape(_init(model), jax.random.key(0))
  everywhere = NamedSharding(mesh, _EVERYWHERE)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
    shapes,
  )


def class_weights(text, labels, num_classes):
  """The weight of each class in the loss, float32.

  Args:
    text: the flag: empty for ones, `balanced` (N / (C * N_c), as in
      scikit-learn), or a comma-separated number a class.
    labels: the training labels.
    num_classes: C.

  Raises:
    ValueError: the flag is none of these.
  """
  if not text:
    return np.ones(num_classes, np.float32)
  if text == 'balanced':
    counts = np.bincount(labels, minlength=num_classes)
    return (len(labels) / (num_classes * counts)).astype(np.float32)
  try:
    weights = np.array([float(x) for x in text.split(',')], np.float32)
  except ValueError:
    weights = np.zeros(0)
  if len(weights) != num_classes or not np.all(weights >= 0):
    raise ValueError(
      f'--class_weights={text}: give "balanced" or {num_classes} numbers '
      'of zero or more'
    )
  return weights


class TrainState(train_state.TrainState):
  """What a step changes.

  Attributes:
    loss_sum: of this epoch's steps.
    bad_steps: how many steps in a row were skipped up to now.
    skipped: how many steps of this epoch were skipped.
  """

  loss_sum: jax.Array
  bad_steps: jax.Array
  skipped: jax.Array


def _embed(table_VxE, batch, mesh):
  """The vectors of a batch, each example's on the device of its row."""
  x_TxBxE = models.embed(table_VxE, batch['tokens'])
  spec = NamedSharding(mesh, _EMBEDDED)
  return jax.lax.with_sharding_constraint(x_TxBxE, spec)


def _without_embedding(params):
  return {name: p for name, p in params.items() if name != 'embedding'}


def _losses(config, weights_C, apply_fn, params, x_TxBxE, batch, keys_B=None):
  """The logits of a batch, its losses by example, and their weights."""
  logits_BxC, _ = apply_fn(
    {'params': params}, x_TxBxE, batch['lengths'], keys_B
  )
  losses_B = losses.cross_entropy(
    logits_BxC, batch['labels'], config.loss, config.label_smoothing
  )
  return logits_BxC, losses_B, batch['weights'] * weights_C[batch['labels']]


def make_train_step(config, mesh, weights_C):
  """The jitted function (state, batch) -> (state, bad_steps).

  The state is donated. A step whose loss or gradient is not finite changes no
  parameter and nothing of the optimiser's, and is counted.

  Each device sums the losses and the gradients of its own rows; one collective
  adds the sums of all devices up. The loss is the weighted mean over the real
  rows of the global batch, and a row's dropout comes from its place in it, so
  that nothing depends on the number of devices.
  """
  weights_C = jnp.asarray(weights_C)

  def train_step(state, batch):
    def device_sums(step, params, x_TxBxE, batch):
      rows = len(batch['labels'])
      row_B = jax.lax.axis_index('data') * rows + jnp.arange(rows)
      key = jax.random.fold_in(jax.random.key(config.seed), step)
      keys_B = jax.vmap(jax.random.fold_in, (None, 0))(key, row_B)

      def loss_sum(params, x_TxBxE):
        _, losses_B, weights_B = _losses(
          config, weights_C, state.apply_fn, params, x_TxBxE, batch, keys_B
        )
        return jnp.sum(losses_B * weights_B), jnp.sum(weights_B)

      # Varying parameters have gradients that are not added up one by one.
      params = jax.lax.pcast(params, 'data', to='varying')
      (loss, weight), (grads, dx_TxBxE) = jax.value_and_grad(
        loss_sum, argnums=(0, 1), has_aux=True
      )(params, x_TxBxE)
      # Finite only where every gradient is.
      size = optax.tree.norm((grads, dx_TxBxE), ord=1)
      return sharding.sum_over_devices((loss, weight, size, grads)), dx_TxBxE

    sums = jax.shard_map(
      device_sums,
      mesh=mesh,
      in_specs=(_EVERYWHERE, _EVERYWHERE, _EMBEDDED, _BY_ROW),
      out_specs=(_EVERYWHERE, _EMBEDDED),
    )
    x_TxBxE, pull_back = jax.vjp(
      lambda table_VxE: _embed(table_VxE, batch, mesh),
      state.params['embedding'],
    )
    (loss, weight, size, grads), dx_TxBxE = sums(
      state.step, _without_embedding(state.params), x_TxBxE, batch
    )
    (grads['embedding'],) = pull_back(dx_TxBxE)
    scale = 1 / jnp.maximum(weight, 1e-9)
    grads = jax.tree.map(lambda g: g * scale, grads)
    loss = loss * scale
    good = jnp.isfinite(loss) & jnp.isfinite(size * scale)
    stepped = state.apply_gradients(grads=grads)
    params, opt_state = jax.tree.map(
      lambda new, old: jnp.where(good, new, old),
      (stepped.params, stepped.opt_state),
      (state.params, state.opt_state),
    )
    state = stepped.replace(
      params=params,
      opt_state=opt_state,
      loss_sum=state.loss_sum + jnp.where(good, loss, 0),
      bad_steps=jnp.where(good, 0, state.bad_steps + 1),
      skipped=state.skipped + jnp.where(good, 0, 1),
    )
    state = jax.lax.with_sharding_constraint(
      state, sharding.state_shardings(state, mesh)
    )
    return state, state.bad_steps

  return jax.jit(train_step, donate_argnums=0)


def make_eval_step(config, mesh, weights_C):
  """The jitted function (state, sums, batch) -> sums, see `metrics.Sums`.

  The sums have a leading axis of devices: each keeps its own.
  """
  weights_C = jnp.asarray(weights_C)

  def eval_step(state, sums, batch):
    def device_sums(params, sums, x_TxBxE, batch):
      logits_BxC, losses_B, weights_B = _losses(
        config, weights_C, state.apply_fn, params, x_TxBxE, batch
      )
      predictions_B = jnp.argmax(
        losses.probabilities(logits_BxC, config.loss), axis=-1
      )
      added = jax.tree.map(lambda x: x[0], sums).add(
        losses_B, weights_B, batch['labels'], predictions_B, batch['weights']
      )
      return jax.tree.map(lambda x: x[None], added)

    return jax.shard_map(
      device_sums,
      mesh=mesh,
      in_specs=(_EVERYWHERE, _BY_ROW, _EMBEDDED, _BY_ROW),
      out_specs=_BY_ROW,
    )(
      _without_embedding(state.params),
      sums,
      _embed(state.params['embedding'], batch, mesh),
      batch,
    )

  return jax.jit(eval_step, donate_argnums=1)


def make_predict_step(model, loss, mesh):
  """The jitted function (params, tokens_BxT, lengths_B) -> what is predicted.

  That is probabilities_BxC and the attention's weights alpha_BxT. The batch is
  split over the devices; the parameters are on each of them.
  """

  def predict_step(params, tokens_BxT, lengths_B):
    logits_BxC, alpha_BxT = model.apply(
      {'params': params}, tokens_BxT, lengths_B
    )
    return losses.probabilities(logits_BxC, loss), alpha_BxT

  return jax.jit(
    jax.shard_map(
      predict_step,
      mesh=mesh,
      in_specs=(_EVERYWHERE, _BY_ROW, _BY_ROW),
      out_specs=_BY_ROW,
    )
  )
