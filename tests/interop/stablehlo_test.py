"""Every model as StableHLO, reloaded, against ours."""

import jax
import numpy as np
import pytest

from bigru_jax.interop.stablehlo import to_stablehlo


def test_stablehlo_equals_the_model(run, batches):
  content = to_stablehlo(run).serialize()
  exported = jax.export.deserialize(content)
  assert exported.platforms == ('cpu', 'cuda', 'tpu')
  for batch in batches:
    found = exported.call(*batch.inputs.values())
    assert found.keys() == batch.outputs.keys()
    for name, expected in batch.outputs.items():
      np.testing.assert_allclose(found[name], expected, atol=1e-5, err_msg=name)


@pytest.mark.parametrize('loss', ['softmax', 'sigmoid'])
def test_each_head_has_the_label_that_the_run_gives_it(make_run, loss):
  run = make_run({'pooling': 'label_wise', 'loss': loss}, ['no', 'yes'])
  found = to_stablehlo(run).call(np.int32([[6, 7]]), np.int32([2]))
  (answer,) = run.predict(['a b'])
  assert [run.labels[head] for head in found['attention_labels'][0]] == (
    answer['attention_labels']
  )
