// The shades: by attention, or by numbers that speak for or against the label.

const METHODS = {
  attention: 'attention',
  gradient: 'gradient',
  gradient_x_input: 'gradient × input',
  integrated_gradients: 'integrated gradients',
  leave_one_out: 'leaving each word out',
  attention_x_gradient: 'attention × gradient',
  random: 'random numbers',
};
// These only say how much a token matters, and not for or against what.
const UNSIGNED = ['attention', 'gradient'];
// What the signed numbers are.
const IN_LOG_ODDS = 'in log odds of the label: +1.1 makes its odds three ' +
  'times as high';
const UNITS = {
  leave_one_out: 'how much the probability of the label drops without the word',
};
// The weights of sets of vectors.
const sets = data.sets || [];
for (const name of sets) {
  METHODS[name] = name;
  UNSIGNED.push(name);
}
const attributions = texts.attributions || {};
const hasAttention = texts.largest.some((heads) => heads.length);

// The weights of a text by the chosen head, or null if the text lacks it.
function weightsOf(packed, largest, i, count) {
  const heads = largest[i].length;
  if (!heads) return null;
  const all = bytes(packed[i]);
  const head = (k) => Array.from({length: count},
    (_, t) => all[k * count + t] / 255 * largest[i][k]);
  const k = headOf(i, heads);
  if (k === null) return null;
  if (k >= 0) return head(k);
  const mean = new Array(count).fill(0);
  for (let h = 0; h < heads; h++) {
    head(h).forEach((w, t) => { mean[t] += w / heads; });
  }
  return mean;
}

// The chosen head of a text; -1 is the mean of all heads.
function headOf(i, heads) {
  const chosen = $('head') ? $('head').value : '0';
  if (texts.head_labels) {
    const label = chosen === 'prediction'
      ? [texts.prediction[i]].flat()[0] : Number(chosen);
    const k = texts.head_labels[i].indexOf(label);
    if (k >= 0) return k;
    return chosen === 'prediction' ? 0 : null;
  }
  return chosen === 'mean' && heads > 1 ? -1 : Number(chosen) || 0;
}

// The numbers of a text's tokens by the chosen method; by attention if it was
// not explained. `high` is the size from which on a token is underlined.
function shadesOf(i, count) {
  const method = $('method').value;
  const {weights, largest} = attributions[method] || {};
  const isExplained = Boolean(weights && weights[i]);
  const isSigned = isExplained && !UNSIGNED.includes(method);
  const numbers = isExplained
    ? Array.from(new Int8Array(bytes(weights[i]).buffer),
      (w) => w / 127 * largest[i])
    : weightsOf(texts.weights, texts.largest, i, count);
  if (!numbers) return {numbers, isExplained, isSigned};
  const sizes = numbers.map(Math.abs);
  return {
    numbers,
    isExplained,
    isSigned,
    most: Math.max(...sizes, 1e-9),
    high: 2 * sizes.reduce((a, b) => a + b, 0) / sizes.length,
  };
}

const signed = (x) => `${x < 0 ? '−' : '+'}${Math.abs(x).toPrecision(2)}`;

function shadedToken(text, w, {numbers, isExplained, isSigned, most, high}) {
  if (!numbers) return el('span', {class: 't'}, text);
  const a = Math.abs(w) / most;
  const kind = ['t', Math.abs(w) >= high ? 'high' : '',
    w < 0 && a >= 0.1 ? 'against' : ''].filter(Boolean).join(' ');
  return el('span', {class: kind, style: `--a: ${a.toFixed(3)}`,
    title: `${isExplained ? METHODS[$('method').value] : 'attention'} ${
      isSigned ? signed(w) : number(w, 2)}`}, text);
}

// The label that a text's numbers speak for or against: by default the most
// probable one of those predicted, or of all.
function explainedLabel(i) {
  if (texts.explained) return data.labels[texts.explained[i]];
  const pairs = texts.probabilities[i];
  const predicted = [texts.prediction[i]].flat();
  for (let j = 0; j < pairs.length; j += 2) {
    if (predicted.includes(pairs[j])) return data.labels[pairs[j]];
  }
  return data.labels[pairs[0]];
}

// Names the label of the shades of a card where its answer does not.
function shadedFor(i) {
  const label = explainedLabel(i);
  const isAnswer = !data.is_multi_label &&
    label === data.labels[texts.prediction[i]];
  return isAnswer || !shadesOf(i, spansOf(i).length).isSigned ? null
    : el('span', {}, 'Shaded for: ', el('b', {}, label));
}

// The shades as text.
function highest(i, spans, shades) {
  const {numbers, isExplained, isSigned, most: largest} = shades;
  if (!numbers) return null;
  const order = numbers.map((w, t) => [w, t])
    .filter(([w]) => Math.abs(w) >= largest / 10)
    .sort((a, b) => b[0] - a[0]);
  const list = (pairs, format) => pairs.slice(0, 3).map(([w, t]) =>
    `${texts.text[i].slice(...spans[t])} ${format(w)}`).join(' · ');
  const most = order.filter(([w]) => w > 0);
  const least = order.filter(([w]) => w < 0).reverse();
  const label = isSigned ? explainedLabel(i) : '';
  const parts = isSigned
    ? [[`For ${label}`, list(most, signed)],
      [`Against ${label}`, list(least, signed)]]
    : [[`Highest ${isExplained ? METHODS[$('method').value] : 'attention'}`,
      list(most, (w) => number(w, 2))]];
  const missing = !isExplained && $('method').value !== 'attention'
    ? `This text is shaded by attention, since it was not explained by ${
      METHODS[$('method').value]}. ` : '';
  const line = parts.filter(([, words]) => words)
    .map(([name, words]) => `${name}: ${words}`).join('; ');
  return line || missing
    ? el('p', {class: 'highest', dir: 'auto'}, missing + line) : null;
}

// The label of all texts if they were explained for one, or that of each.
function explainedInWords() {
  const [label, ...others] = new Set(texts.explained || []);
  if (label !== undefined && !others.length) return `“${data.labels[label]}”`;
  return data.is_multi_label ? 'the label named with each text' : 'the answer';
}

// What the shades mean, for the cards and the legend.
function shadesInWords() {
  const method = $('method').value;
  if (attributions[method]) {
    const counts = 'The stronger a word is shaded, the more it counts, as ' +
      `measured by ${METHODS[method]}`;
    if (sets.includes(method)) {
      return 'The stronger a word is shaded, the more these vectors count ' +
        `among its vectors: ${method}.`;
    }
    if (UNSIGNED.includes(method)) return `${counts}.`;
    return `${counts}: blue words speak for ${explainedInWords()}, and orange ` +
      'words with a dotted line against it.';
  }
  return hasAttention
    ? 'The stronger a word is shaded, the more attention the model gives it.'
    : 'The pooling of this model has no weights to show.';
}

function drawLegend() {
  const method = $('method').value;
  const isExplained = Boolean(attributions[method]);
  const isSigned = isExplained && !UNSIGNED.includes(method);
  const bar = (kind) =>
    el('span', {class: `bar-of-shades ${kind}`, 'aria-hidden': 'true'});
  const parts = isSigned
    ? ['against the label, with a dotted line ', bar('against'), bar(''),
      ' for the label; a thick line marks numbers of twice the mean size. ' +
      `The numbers below a text are ${UNITS[method] || IN_LOG_ODDS}.`]
    : ['no weight ', bar(''),
      " the text's largest weight; underlined from twice its mean on"];
  $('legend').replaceChildren(
    ...isExplained || hasAttention ? parts : [shadesInWords()]);
  if ($('head-label')) $('head-label').hidden = isExplained;
}

// The methods that the reader can choose; the most faithful one comes first.
function drawMethods() {
  const {shading} = data;
  const explained = Object.keys(attributions);
  const names = [...new Set(hasAttention || !explained.length
    ? ['attention', ...explained] : explained)];
  const best = [shading?.method, 'integrated_gradients',
    names.findLast((name) => !sets.includes(name)), names[0]]
    .find((name) => names.includes(name));
  $('method').append(...names.map((name) => el('option', {value: name},
    METHODS[name] + (shading && name === shading.method
      ? ' (most faithful)' : ''))));
  $('method').value = best;
  if (names.length < 2) $('method-label').hidden = true;
  if (!shading || !names.includes(shading.method)) return;
  const cell = ({value, low, high}) => value === null ? '–'
    : `${number(value, 2)} (${number(low, 2)} to ${number(high, 2)})`;
  $('shading').append(el('p', {}, shading.sentence), el('details', {},
    el('summary', {}, 'How faithful each way of shading is'),
    scrolled('Faithfulness of the shades', table(
      ['shaded by', 'comprehensiveness', 'sufficiency',
        'difference beyond random'],
      shading.table.map((row) => [METHODS[row.name] || row.name,
        cell(row.comprehensiveness), cell(row.sufficiency),
        cell(row.above_random)]),
      'How much the probability of the prediction drops without the most ' +
      'shaded words (comprehensiveness: more is better) and with these words ' +
      'alone (sufficiency: less is better), with 95 % intervals over ' +
      `${number(shading.texts)} texts of the validation set.`))));
}
