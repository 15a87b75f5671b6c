"""Every model as StableHLO, reloaded, against ours."""

import jax
import numpy as np

from bigru_jax.interop.stablehlo import to_stablehlo


def test_it_equals_the_model(run, batches):
  content = to_stablehlo(run).serialize()
  exported = jax.export.deserialize(content)
  assert exported.platforms == ('cpu', 'cuda', 'tpu')
  for batch in batches:
    found = exported.call(*batch.inputs.values())
    assert found.keys() == batch.outputs.keys()
    for name, expected in batch.outputs.items():
      np.testing.assert_allclose(found[name], expected, atol=1e-5, err_msg=name)
