// The texts: decoding, shading and filtering them, and drawing those in view.

const texts = data.texts;

const bytes = (base64) =>
  Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

// The place of each token, from numbers with 7 bits per byte: see pack_texts in
// packing.py. Those of older pages are the gap and the length of each token.
function spansOf(i) {
  const packed = bytes((texts.tokens || texts.spans)[i]);
  const spans = [];
  let at = 0, place = 0;
  const next = () => {
    let value = 0, unit = 1, byte;
    do {
      byte = packed[at++];
      value += (byte & 127) * unit;
      unit *= 128;
    } while (byte & 128);
    return value;
  };
  while (at < packed.length) {
    let gap = next(), length;
    if (texts.tokens) {
      length = gap >> 2;
      gap &= 3;
      if (gap === 3) gap += next();
    }
    const start = place + gap;
    place = start + (length ?? next());
    spans.push([start, place]);
  }
  return spans;
}

// A number stands for the origin before it with this number.
let originStart = '';
const origins = texts.place.map((place) => {
  if (typeof place !== 'string') return originStart + place;
  originStart = place.replace(/\d+$/, '');
  return place;
});

const names = (labels) => labels === null ? 'unknown'
  : [labels].flat().map((c) => data.labels[c]).join(', ') || 'no label';

function probability(i) {
  const pairs = texts.probabilities[i];
  const shown = [texts.prediction[i]].flat();
  const found = [];
  for (let j = 0; j < pairs.length; j += 2) {
    if (shown.includes(pairs[j])) found.push((pairs[j + 1] / 1000).toFixed(3));
  }
  return found.join(', ') || '–';
}

function shaded(i) {
  const text = texts.text[i], spans = spansOf(i);
  const shades = shadesOf(i, spans.length);
  const body = el('p', {class: 'text', dir: 'auto'});
  if (!text.trim()) {
    body.append(el('span', {class: 'dropped'}, '(empty text)'));
    return [body, null];
  }
  let place = 0;
  const gap = (end) => text.slice(place, end);
  const token = (t) => {
    const [start, end] = spans[t];
    place = end;
    return shadedToken(text.slice(start, end), shades.numbers?.[t], shades);
  };
  const rest = (end) => place < end
    ? el('span', {class: 'dropped'}, gap(end)) : null;
  if (texts.sentences) {
    const counts = texts.sentences[i];
    const ofSentences = shades.isExplained ? null : weightsOf(
      texts.sentence_weights, texts.sentence_largest, i, counts.length);
    const mostOf = ofSentences ? Math.max(...ofSentences, 1e-9) : 1;
    let t = 0;
    counts.forEach((count, s) => {
      const node = el('span', {class: 'sentence',
        style: `--s: ${ofSentences ? (ofSentences[s] / mostOf).toFixed(3) : 0}`});
      if (ofSentences) {
        node.append(el('span', {class: 'weight'}, number(ofSentences[s], 2)));
      }
      for (const stop = t + count; t < stop; t++) {
        const before = gap(spans[t][0]);
        node.append(node.querySelector('.t') ? before : before.trimStart(),
          token(t));
      }
      body.append(node);
    });
  } else {
    spans.forEach(([start], t) => body.append(gap(start), token(t)));
  }
  const tail = rest(text.length);
  if (tail) body.append(tail);
  return [body, highest(i, spans, shades)];
}

function article(i, position) {
  const right = texts.right[i];
  const verdict = right === null ? null : el('span',
    {class: `verdict ${right ? 'right' : 'wrong'}`},
    right ? '✓ right' : '✗ wrong');
  const pair = (name, value) =>
    el('span', {}, `${name} `, el('b', {}, value));
  const head = el('p', {class: 'answer', id: `answer-${i}`}, verdict,
    right === null ? null : pair('true label', names(texts.gold[i])),
    pair('prediction', names(texts.prediction[i])),
    pair('probability', probability(i)),
    el('span', {}, origins[i]),
    texts.truncated[i] ? el('span', {}, 'truncated') : null);
  return el('article', {tabindex: 0, 'aria-labelledby': `answer-${i}`,
    'aria-posinset': position + 1, 'aria-setsize': shown.length, 'data-i': i},
  head, ...shaded(i));
}


const CHUNK = 20;
const ORDERS = {
  mistakes: (i) => texts.right[i] === 0 ? 2 + texts.confidence[i]
    : 1 - texts.confidence[i],
  most_confident: (i) => texts.confidence[i],
  least_confident: (i) => -texts.confidence[i],
  given: (i) => -i,
  longest: (i) => texts.text[i].length,
};
let shown = [];
let lowered = null;

const observer = new IntersectionObserver((entries) => {
  for (const {target, isIntersecting} of entries) {
    if (isIntersecting) fill(target);
    else if (target.firstChild && !target.contains(document.activeElement)) {
      target.style.height = `${target.offsetHeight}px`;
      target.replaceChildren();
    }
  }
  // A feed without articles, because it is out of sight, is being loaded.
  const isEmpty = !$('feed').querySelector('article');
  $('feed').setAttribute('aria-busy', isEmpty && shown.length > 0);
}, {rootMargin: '1000px 0px'});

function fill(chunk) {
  if (chunk.firstChild) return;
  const first = Number(chunk.dataset.first);
  chunk.replaceChildren(...shown.slice(first, first + CHUNK)
    .map((i, k) => article(i, first + k)));
  chunk.style.height = '';
}

function select() {
  const query = $('search').value.trim().toLowerCase();
  if (query && !lowered) lowered = texts.text.map((x) => x.toLowerCase());
  const label = $('class').value === '' ? null : Number($('class').value);
  const has = (labels) => labels !== null && [labels].flat().includes(label);
  const verdict = $('verdict') ? $('verdict').value : 'all';
  const wanted = {all: null, right: 1, wrong: 0}[verdict];
  const key = ORDERS[$('order').value];
  shown = [];
  texts.text.forEach((_, i) => {
    if (query && !lowered[i].includes(query)) return;
    if (label !== null && !has(texts.gold[i]) && !has(texts.prediction[i])) {
      return;
    }
    if (wanted === null || texts.right[i] === wanted) shown.push(i);
  });
  const keys = new Float64Array(texts.text.length);
  for (const i of shown) keys[i] = key(i);
  shown.sort((a, b) => keys[b] - keys[a] || a - b);
  $('count').textContent = `${number(shown.length)} of ` +
    `${number(texts.text.length)} texts`;
  draw();
}

function draw() {
  observer.disconnect();
  const columns = Math.max($('feed').clientWidth / 7.5, 20);
  const chunks = [];
  for (let first = 0; first < shown.length; first += CHUNK) {
    const rows = shown.slice(first, first + CHUNK).reduce((sum, i) =>
      sum + 82 + 28 * Math.ceil(texts.text[i].length / columns), 0);
    chunks.push(el('div', {
      class: 'chunk', 'data-first': first, style: `height: ${rows}px`}));
  }
  $('feed').replaceChildren(...chunks);
  chunks.forEach((chunk) => observer.observe(chunk));
}

function drawTexts() {
  $('texts-note').textContent = data.thresholds
    ? `${data.note} ${data.thresholds.sentence}` : data.note;
  $('class').append(el('option', {value: ''}, 'all'),
    ...data.labels.map((name, c) => el('option', {value: c}, name)));
  const heads = texts.largest.reduce((most, x) => Math.max(most, x.length), 0);
  const options = texts.head_labels
    ? [['prediction', 'for the prediction'],
      ...data.labels.map((name, c) => [c, `for ${name}`])]
    : [['mean', 'mean of the heads'],
      ...Array.from({length: heads}, (_, k) =>
        [k, (data.heads || [])[k] || `head ${k + 1}`])];
  $('head').append(
    ...options.map(([value, name]) => el('option', {value}, name)));
  if (heads < 2) $('head-label').remove();
  if (!texts.right.some((x) => x !== null)) {
    $('verdict-label').remove();
    $('order').querySelector('[value=mistakes]').remove();
    $('order').value = 'given';
  }
  drawMethods();
  drawLegend();
  $('controls').addEventListener('submit', (event) => event.preventDefault());
  $('controls').addEventListener('input', (event) => {
    if (!['head', 'method'].includes(event.target.id)) return select();
    drawLegend();
    for (const chunk of $('feed').children) {
      if (chunk.firstChild) {
        chunk.replaceChildren();
        fill(chunk);
      }
    }
  });
  // The first of the filtered texts are printed.
  window.addEventListener('beforeprint', () =>
    [...$('feed').children].slice(0, 5).forEach(fill));
  select();
}
