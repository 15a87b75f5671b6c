// A classifier in a browser, or in Node.
import * as ort from 'onnxruntime-web';
import { makeTokenizer } from './tokenizer.mjs';

// Takes model.onnx as bytes or as its address, and its .json as an object.
export async function loadClassifier(model, description) {
  const session = await ort.InferenceSession.create(model);
  const tokenize = makeTokenizer(description);
  return async (texts) => {
    const rows = texts.map(tokenize);
    const lengths = Int32Array.from(rows, (row) => row.length);
    const longest = Math.max(...lengths);
    const ids = new Int32Array(rows.length * longest);
    rows.forEach((row, i) => ids.set(row, i * longest));
    const outputs = await session.run({
      ids: new ort.Tensor('int32', ids, [rows.length, longest]),
      lengths: new ort.Tensor('int32', lengths, [rows.length]),
    });
    const { data, dims } = outputs.probabilities;
    return rows.map((_, i) => {
      const probabilities = [...data.slice(i * dims[1], (i + 1) * dims[1])];
      return { label: decide(probabilities, description), probabilities };
    });
  };
}

// The label of a text with one label, by the threshold if there is one.
function decide(probabilities, { labels, thresholds, positive_label }) {
  const positive = labels.indexOf(positive_label);
  if (thresholds.length && positive >= 0) {
    const reached = probabilities[positive] >= thresholds[0];
    return labels[reached ? positive : 1 - positive];
  }
  return labels[probabilities.indexOf(Math.max(...probabilities))];
}
