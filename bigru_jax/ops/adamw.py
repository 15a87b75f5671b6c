"""AdamW as a C++ function for CPUs, in one pass over each array.

`adamw_cpu_kernel.cc` holds the formulas. They are those of `optax.adamw` with
`optax.clip_by_global_norm`, in which XLA makes several passes over each array
for the parameters, for each moment, for clipping and for the norm.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.ops import cpu


def adamw(
  params: Sequence[jax.Array],
  grads: Sequence[jax.Array],
  mu: Sequence[jax.Array],
  nu: Sequence[jax.Array],
  *,
  finite: jax.Array,
  step: jax.Array,
  clip: jax.typing.ArrayLike = 1.0,
  rates: Sequence[jax.typing.ArrayLike],
  decays: Sequence[float],
  num_trained: Sequence[int],
  b1: float = 0.9,
  b2: float = 0.999,
  eps: float = 1e-8,
  instruction_set: str = '',
) -> tuple[Sequence[jax.Array], Sequence[jax.Array], Sequence[jax.Array]]:
  """Makes a step of AdamW (Loshchilov & Hutter, 2019).

  The results have the memory of `params`, `mu` and `nu` where these are not
  used afterwards, as with donated arguments.

  Args:
    params, grads, mu, nu: the parameters, their gradients and their moments, L
      float32 arrays each.
    finite: bool; if it is false, nothing changes.
    step: the number of the step, from 1.
    clip: the factor of the gradients.
    rates, decays: the learning rate and the weight decay of each array.
    num_trained: the number of elements of each array that change; the moments
      change in all of them.
    b1, b2, eps: see `optax.adamw`.
    instruction_set: one of `cpu.instruction_sets()`; '' is the best one.

  Returns:
    The parameters and the moments after the step.
  """
  constants = clip, b1, 1 - b1, b2, 1 - b2, eps
  corrections = 1 / (1 - b1**step), 1 / (1 - b2**step)
  count = len(params)
  results = cpu.call(
    'Adamw',
    instruction_set,
    [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (*params, *mu, *nu)],
    *(
      jnp.stack([jnp.float32(x) for x in numbers])
      for numbers in ((*constants, *corrections), rates, decays)
    ),
    finite,
    *(*grads, *params, *mu, *nu),
    aliases={4 + count + i: i for i in range(3 * count)},
    num_trained=np.array(num_trained, np.int64),
  )
  return results[:count], results[count : 2 * count], results[2 * count :]
