"""Every model in ONNX Runtime, against ours, and the metadata of the file."""

import json
import unicodedata

from hypothesis import given, strategies as st
import numpy as np
import pytest
import regex

from bigru_jax.data import text
from bigru_jax.interop.description import tokenizer_rules
from bigru_jax.models.pooling import POOLINGS, Pooling
from bigru_jax.models.pooling_layers import Mean

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
to_onnx = pytest.importorskip('bigru_jax.interop.onnx').to_onnx


def test_onnx_equals_the_model(run, batches):
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


def test_it_differs_from_a_bfloat16_run_by_rounding(make_run):
  run = make_run({'dtype': 'bfloat16'}, ['no', 'yes'])
  session = onnxruntime.InferenceSession(to_onnx(run).SerializeToString())
  inputs = {'ids': np.int32([[6, 7, 8]]), 'lengths': np.int32([3])}
  (found,) = session.run(['probabilities'], inputs)[0]
  (answer,) = run.predict(['a b c'])
  expected = list(answer['probabilities'].values())
  np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize('loss', ['softmax', 'sigmoid'])
def test_each_head_has_the_label_that_the_run_gives_it(make_run, loss):
  run = make_run({'pooling': 'label_wise', 'loss': loss}, ['no', 'yes'])
  session = onnxruntime.InferenceSession(to_onnx(run).SerializeToString())
  inputs = {'ids': np.int32([[6, 7]]), 'lengths': np.int32([2])}
  (heads,) = session.run(['attention_labels'], inputs)[0]
  (answer,) = run.predict(['a b'])
  assert [run.labels[head] for head in heads] == answer['attention_labels']


def test_the_metadata_describe_the_model(make_run):
  several = {'task': 'multi_label', 'max_length': 9}
  run = make_run(several, ['one', 'twö'])
  session = onnxruntime.InferenceSession(to_onnx(run).SerializeToString())
  metadata = session.get_modelmeta().custom_metadata_map
  found = {key: json.loads(value) for key, value in metadata.items()}
  assert found['labels'] == ['one', 'twö']
  assert found['vocabulary'] == run.tokenizer.vocabulary
  assert found['thresholds'] == [0.25, 0.25] and found['temperature'] == 1.5
  assert found['limits'] == {'max_length': 9, 'truncate': 'head'}
  assert found['tokenizer']['name'] == 'words'
  assert found['text_columns'] == ['text'] and found['separator'] == ' <sep> '


@pytest.mark.parametrize('replaces', [False, True])
@pytest.mark.parametrize('name', list(text.TOKENIZERS))
@given(
  st.text()
  | st.text("aB '’nts.-<>/e12_é好 \u200d\ufeff\x1f")
  | st.text('eIi\u0130\u0307\u0301\u0323\u0958\u1112\u1161\u212a <>12')
  | st.lists(
    st.sampled_from(
      ['http://', 'HTTPS://', 'www.', '@', '<url>', '<sep>', *'aé好._(),/ ?\'"']
    )
  ).map(''.join)
)
def test_the_exported_pattern_splits_as_the_tokenizer_does(
  name, replaces, sentence
):
  rules = tokenizer_rules(name, replaces)
  given = sentence.lower() if rules['lowercase'] else sentence
  given = unicodedata.normalize(rules['normalize'], given)
  for old, new in rules['replace']:
    given = given.replace(old, new)
  given = unicodedata.normalize(rules['normalize'], given)
  for pattern, token in rules['replace_patterns']:
    given = regex.sub(pattern, token, given, flags=regex.V1)
  found = regex.findall(rules['pattern'], given, regex.V1)
  ours = text.TOKENIZERS[name]
  if replaces:
    ours = text.with_replacements(ours)
  assert found == ours(sentence)


def test_a_pooling_without_an_onnx_form_is_named(make_run, monkeypatch):
  monkeypatch.setitem(POOLINGS, 'gated', Pooling(module=Mean))
  run = make_run({'pooling': 'gated'}, ['a', 'b'])
  with pytest.raises(ValueError, match="pooling='gated' cannot be exported"):
    to_onnx(run)
