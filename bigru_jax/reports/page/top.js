// The top in plain words: quality, trust, examples, mistakes.

const overview = data.top;

// No line ends between a number and its percent sign.
const unbroken = (text) => text.replaceAll(' %', '\u00a0%');

const prose = (sentences) =>
  sentences.map((text) => el('p', {}, unbroken(text)));

function section(id, sentences, chart) {
  if (!sentences && !chart) {
    hideSection(id);
    return;
  }
  $(id).querySelector('.prose').append(...prose(sentences || []));
  if (chart) $(id).querySelector('.chart').append(chart);
}

const INTERVAL = 'If the model were tested again and again on as many other ' +
  'texts of this kind, intervals made in this way would contain its true ' +
  'share 95 times in 100.';

// The shares of right answers; without true labels, of the labels given.
function drawShares({shares, given}) {
  if (shares) {
    return el('figure', {},
      el('figcaption', {}, 'Right answers',
        el('small', {}, 'share of the texts, with 95 % intervals')),
      shareBars('Right answers', shares),
      term('What is a 95 % interval?', INTERVAL));
  }
  return given ? el('figure', {},
    el('figcaption', {}, 'Answers',
      el('small', {}, 'share of the texts that get the label')),
    shareBars('Answers', given)) : null;
}

function drawBands({shares, bands = []}) {
  if (!shares || !bands.length) return null;
  const noun = data.is_multi_label ? 'labels' : 'answers';
  const title = 'Right answers by how sure it is';
  return el('figure', {},
    el('figcaption', {}, title,
      el('small', {}, `share of its ${noun} that are right`)),
    shareBars(title, bands.map((band) => ({
      ...band,
      name: `${band.name} sure`,
      note: band.count === 1 ? `1 ${noun.slice(0, -1)}`
        : `${number(band.count)} ${noun}`})), 's2'));
}

function drawTop() {
  document.title = $('title').textContent = overview.title;
  $('what').textContent = overview.what;
  $('made').textContent = overview.made;
  if (overview.given) {
    $('quality-heading').textContent = 'What does it answer?';
    document.querySelector('a[href="#quality"]').textContent = 'Answers';
  }
  const count = overview.examples.right.length;
  $('examples-heading').textContent = ['', 'One', 'Two', 'Three'][count] +
    `${overview.shares ? ' typical' : ''} answer${count > 1 ? 's' : ''}`;
  section('quality', overview.quality, drawShares(overview));
  const {baseline, baseline_command: command, source} = data;
  if (command && !baseline && !source) {
    $('quality').querySelector('.prose').append(el('p', {class: 'quiet'},
      'To compare it with a simple linear model: ', code(command)));
  }
  section('trust', overview.trust, drawBands(overview));
  section('failures', overview.failures, null);
  drawCards();
  const mistakes = texts.right.filter((right) => right === 0).length;
  const link = $('all-mistakes');
  if (!mistakes) link.parentElement.remove();
  link.textContent = mistakes > 3
    ? `All ${number(mistakes)} mistakes on this page` : 'The texts in full';
  link.addEventListener('click', showMistakes);
  $('controls').addEventListener('input', (event) => {
    if (event.target.tagName === 'SELECT') drawCards();
  });
}

function showMistakes() {
  if ($('verdict')) $('verdict').value = 'wrong';
  $('order').value = 'mistakes';
  select();
}

function drawCards() {
  const {right, wrong} = overview.examples;
  for (const [id, chosen] of [['examples', right], ['failures', wrong]]) {
    $(id).querySelector('.cards').replaceChildren(...chosen.map(card));
  }
  if (!right.length) hideSection('examples');
  $('shades-in-words').textContent = shadesInWords();
}

// The probability of a class of a text, in words.
function sureness(i, label) {
  const pairs = texts.probabilities[i];
  for (let j = 0; j < pairs.length; j += 2) {
    if (pairs[j] === label) {
      const percent = Math.round(pairs[j + 1] / 10);
      return percent > 99 ? 'over 99 % sure' : `${percent} % sure`;
    }
  }
  return 'sure';
}

function card(i) {
  const right = texts.right[i], [body] = shaded(i);
  const predicted = [texts.prediction[i]].flat();
  const answer = el('p', {class: 'answer'},
    right === null ? null : el('span',
      {class: `verdict ${right ? 'right' : 'wrong'}`},
      right ? '✓ right' : '✗ wrong'),
    el('span', {}, 'It answers ', ...predicted.flatMap((c, k) => [
      k ? ', ' : '', el('b', {}, data.labels[c]), ` (${sureness(i, c)})`]),
    predicted.length ? '' : el('b', {}, 'no label')),
    right === 0 ? el('span', {},
      'The truth is ', el('b', {}, names(texts.gold[i]))) : null);
  answer.append(shadedFor(i) || '');
  return el('li', {class: 'card'}, answer, body);
}

drawTheme();
drawRun();
drawCurves();
drawScores();
drawFaithful();
drawTexts();
drawTop();
