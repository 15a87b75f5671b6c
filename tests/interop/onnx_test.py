"""Every model in ONNX Runtime, against ours; and the rules in its metadata."""

import numpy as np
import pytest

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
to_onnx = pytest.importorskip('bigru_jax.interop.onnx').to_onnx


def test_it_equals_the_model(run, batches):
  model = to_onnx(run)  # Which the checker of ONNX has seen.
  session = onnxruntime.InferenceSession(model.SerializeToString())
  names = [output.name for output in session.get_outputs()]
  for batch in batches:
    assert names == list(batch.outputs)
    for name, found in zip(names, session.run(None, batch.inputs)):
      expected = batch.outputs[name]
      np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)
      if name.startswith('attention_') and found.dtype == np.float32:
        np.testing.assert_array_equal(found == 0, expected == 0)
