"""Optimisers, learning-rate schedules, and which parameters they touch."""

import jax
import optax


def schedule(kind, learning_rate, warmup, steps):
  """A learning rate by step.

  Args:
    kind: `constant`, `cosine` (to zero, Loshchilov & Hutter, 2017,
      https://arxiv.org/abs/1608.03983) or `linear` (to zero).
    learning_rate: the peak.
    warmup: the share of all steps over which the rate first rises from zero.
    steps: all steps of the run.

  Raises:
    ValueError: the kind is none of these.
  """
  rising = int(warmup * steps)
  falling = max(steps - rising, 1)
  kinds = {
    'constant': lambda: optax.constant_schedule(learning_rate),
    'cosine': lambda: optax.cosine_decay_schedule(learning_rate, falling),
    'linear': lambda: optax.linear_schedule(learning_rate, 0.0, falling),
  }
  if kind not in kinds:
    raise ValueError(f'--schedule: no schedule is called {kind!r}')
  if not rising:
    return kinds[kind]()
  climb = optax.linear_schedule(0.0, learning_rate, rising)
  return optax.join_schedules([climb, kinds[kind]()], [rising])


def decays(params):
  """True for the parameters under weight decay: matrices, never biases."""
  names = ('kernel', 'embedding')
  return jax.tree.map_with_path(
    lambda path, _: any(name in path[-1].key for name in names), params
  )


def make_optimizer(
  kind='adamw',
  learning_rate=1e-3,
  weight_decay=1e-2,
  clip_norm=0.0,
  freeze_embeddings=False,
):
  """Builds the gradient transformation.

  Args:
    kind: `adamw` (decoupled decay, Loshchilov & Hutter, 2019,
      https://arxiv.org/abs/1711.05101), `adam` (Kingma & Ba, 2015,
      https://arxiv.org/abs/1412.6980) or `sgd` (momentum 0.9). `weight_decay`
      belongs to `adamw` alone.
    learning_rate: a number or a schedule.
    weight_decay: on the parameters named by `decays`.
    clip_norm: the largest global norm of a gradient; 0 for no limit.
    freeze_embeddings: leave the embedding table as it is.

  Raises:
    ValueError: the kind is none of these.
  """
  kinds = {
    'adamw': lambda: optax.adamw(
      learning_rate, weight_decay=weight_decay, mask=decays
    ),
    'adam': lambda: optax.adam(learning_rate),
    'sgd': lambda: optax.sgd(learning_rate, momentum=0.9),
  }
  if kind not in kinds:
    raise ValueError(f'--optimizer: no optimiser is called {kind!r}')
  transforms = [kinds[kind]()]
  if clip_norm:
    transforms.insert(0, optax.clip_by_global_norm(clip_norm))
  optimizer = optax.chain(*transforms)
  if not freeze_embeddings:
    return optimizer

  def label(params):
    return jax.tree.map_with_path(
      lambda path, _: 'frozen' if path[-1].key == 'embedding' else 'trained',
      params,
    )

  return optax.partition(
    {'trained': optimizer, 'frozen': optax.set_to_zero()}, label
  )
