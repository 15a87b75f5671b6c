// The technical part: configuration, data, curves, scores, faithfulness.

const data = JSON.parse(document.getElementById('data').textContent);
const $ = (id) => document.getElementById(id);

// A name with its meaning, which a click shows.
function term(title, meaning) {
  return meaning
    ? el('details', {class: 'term'}, el('summary', {}, title), meaning) : title;
}

const sentence = (name) => {
  const words = name.replaceAll('_', ' ');
  return words[0].toUpperCase() + words.slice(1);
};

// The title of a metric or a cost, with its meaning.
const measure = (name) => {
  const [title, meaning] = data.words[name] || ['', ''];
  return term(title || sentence(name), meaning);
};

const SPLITS = {
  train: 'training', validation: 'validation', test: 'test',
  training: 'training'};

function drawTheme() {
  const root = document.documentElement, button = $('theme');
  const set = (dark) => {
    root.dataset.theme = dark ? 'dark' : 'light';
    button.setAttribute('aria-pressed', dark);
  };
  const system = window.matchMedia('(prefers-color-scheme: dark)');
  set(system.matches);
  system.addEventListener('change', () => set(system.matches));
  button.addEventListener('click', () => set(root.dataset.theme !== 'dark'));
}

function drawRun() {
  const {model, config, diagnostics: statistics, thresholds} = data;
  $('model').textContent = model;
  $('command').append(data.command
    ? el('pre', {tabindex: 0, 'aria-label': 'The command'},
      ...wordsOf(data.command))
    : data.origin || '');
  if (!data.source) drawMeasures();
  drawThresholds(thresholds);
  if (statistics) {
    const rows = Object.entries(statistics.splits).map(([name, split]) => [
      SPLITS[name], ...['texts', 'mean', 'median', 'p95', 'longest'].map((key) =>
        number(split[key], 1))]);
    $('statistics').append(
      scrolled('Sizes', table(['', 'texts', 'tokens, mean', 'median',
        '95th percentile', 'longest'], rows)),
      el('ul', {}, ...statistics.notes.map((note) => el('li', {}, note))),
      data.labels.length ? labelCounts(statistics) : '');
  } else {
    $('statistics').append('The statistics of the data are not stored.');
  }
  for (const [group, fields] of config) {
    $('configuration').append(table([group, ''],
      fields.map(([name, value, changed, help]) => [
        el('span', {class: changed ? 'changed' : ''}, term(sentence(name), help)),
        value === '' ? '–' : value === true ? 'yes' : value === false ? 'no'
          : String(value)])));
  }
}

// The metrics of each split side by side, and what the training cost.
function drawMeasures() {
  const {test, validation, training} = Object.fromEntries(data.metrics);
  const {baseline, intervals} = data;
  const columns = [['test', test], ['linear model, test', baseline?.metrics],
    ['validation', validation]].filter(([, values]) => values);
  const within = (key) => intervals[key]?.low === undefined ? null
    : ` (${number(intervals[key].low)} to ${number(intervals[key].high)})`;
  const values = test || validation;
  if (values) {
    const methods = Object.values(intervals).map(({method}) => method);
    const note = methods.length
      ? `In brackets: 95 % intervals, ${[...new Set(methods)].join('; ')}.`
      : null;
    $('metrics').append(scrolled('Scores', table(
      ['', ...columns.map(([name]) => name)],
      Object.keys(values).map((key) => [
        measure(key), ...columns.map(([, values], k) => k ? number(values[key], 4)
          : el('span', {}, number(values[key], 4),
            within(key) && el('small', {}, within(key))))]), note)));
  }
  if (training) {
    $('metrics').append(table(['Training', ''],
      Object.entries(training).map(([key, x]) => [measure(key), number(x, 2)])));
  }
}

function drawThresholds(thresholds) {
  if (!thresholds) return;
  const {sentence: text, rows, warning} = thresholds;
  $('thresholds').append(el('h3', {}, 'From which probability on?'),
    el('p', {}, text),
    rows.length ? scrolled('Thresholds', table(
      ['label', 'threshold', 'validation texts with the label'],
      rows.map(([label, value, count]) =>
        [label, number(value), number(count)]))) : '',
    warning ? el('p', {class: 'warning'}, `⚠ ${warning}`) : '');
}

function labelCounts(statistics) {
  const splits = Object.entries(statistics.splits);
  const rows = data.labels.map((label, c) =>
    [label, ...splits.map(([, split]) => number(split.labels[c]))]);
  return el('details', {}, el('summary', {}, 'Texts per class'),
    scrolled('Texts per class',
      table(['class', ...splits.map(([name]) => SPLITS[name])], rows)));
}

function hideSection(id) {
  $(id).hidden = document.querySelector(`a[href="#${id}"]`).hidden = true;
}

function drawCurves() {
  const of = (split, key) => data.curves
    .filter((line) => line.split === split && line[key] !== undefined &&
      line[key] !== null)
    .map((line) => [line.epoch, line[key]]);
  const best = (points) => points.find((p) => p[0] === data.best_epoch);
  const loss = of('validation', 'loss');
  if (!loss.length || data.source) {
    hideSection('training');
    return;
  }
  const ring = data.best_epoch
    ? `the ring marks the best epoch, ${data.best_epoch}` : null;
  const series = ['train', 'validation']
    .map((name) => ({name, points: of(name, 'loss')}))
    .filter((one) => one.points.length);
  const {title, yName, names} = data.score_curves;
  const scores = names
    .map(([name, key]) => ({name, points: of('validation', key)}))
    .filter((one) => one.points.length);
  // Each epoch is scored at one half, which other thresholds contradict.
  const atHalf = !data.thresholds || data.thresholds.at_half;
  $('curves').append(
    lines({title: 'Loss', note: ring, xName: 'epoch', yName: 'loss',
      series, best: best(loss)}),
    atHalf ? lines({title, note: ring, xName: 'epoch', yName, series: scores,
      best: best(scores[0].points)}) : '',
    lines({title: 'Learning rate', note: null, xName: 'step',
      yName: 'learning rate', zero: true,
      series: [{name: 'learning rate', points: data.learning_rate}]}));
}

function drawScores() {
  const {report, diagnostics} = data;
  if (!report || data.source) {
    hideSection('scores');
    return;
  }
  if (report.confusion) {
    $('figures').append(
      confusion('Confusion matrix', data.labels, report.confusion));
  }
  const classes = Object.entries(report.classes);
  const most = 60;
  classes.sort((a, b) => a[1].f1 - b[1].f1);
  $('figures').append(namedBars({
    title: 'F1 by class',
    note: classes.length > most
      ? `the worst ${most} of ${classes.length} classes` : 'the worst first',
    head: ['class', '0 to 1', 'F1', 'precision', 'recall', 'texts'],
    wide: !report.confusion,
    rows: classes.slice(0, most).map(([name, x]) => [
      name, x.f1, number(x.precision), number(x.recall), number(x.support)]),
  }));
  if (!diagnostics) return;
  $('figures').append(...curves(diagnostics.curves || []));
  const percent = (value) => value.toFixed(2);
  $('figures').append(
    bars({
      title: 'Reliability',
      note: `expected calibration error ${number(data.ece, 4)}; on the ` +
        'dashed line, probability and accuracy agree',
      xName: 'probability', yName: 'accuracy', x: [0, 1],
      diagonal: true, head: ['probability', 'mean', 'accuracy', 'texts'],
      bins: diagnostics.reliability.map((bin) => ({
        low: bin.low, high: bin.high, value: bin.accuracy,
        row: [`${percent(bin.low)} to ${percent(bin.high)}`,
          number(bin.confidence), number(bin.accuracy), number(bin.count)]})),
    }),
    bars({
      title: 'Length and accuracy',
      note: textsPerBar(diagnostics.by_length),
      xName: 'tokens', yName: 'accuracy',
      x: [0, diagnostics.by_length.at(-1).high],
      head: ['tokens', 'accuracy', 'texts'],
      bins: diagnostics.by_length.map((bin) => ({
        low: bin.low - 1, high: bin.high, value: bin.accuracy,
        row: [`${bin.low} to ${bin.high}`, number(bin.accuracy),
          number(bin.count)]})),
    }));
}

// How many texts the bars by length have.
function textsPerBar(bins) {
  const counts = bins.map(({count}) => count);
  const least = Math.min(...counts), most = Math.max(...counts);
  return least === most ? `number of texts in each bar: ${number(most)}`
    : `each bar has ${number(least)} to ${number(most)} texts; those of equal ` +
      'length are in one bar';
}

// The ROC and the precision-recall curves of two classes or several labels.
function curves(all) {
  if (!all.length) return [];
  const one = all.length === 1 ? all[0] : null;
  const ring = one
    ? `the ring marks the threshold, ${number(one.point.threshold)}`
    : 'a ring marks the threshold of each curve';
  const count = all.length - 1;
  const which = count < data.labels.length
    ? `the ${count} with the lowest average precision` : 'each label';
  const note = (area) => one ? `${one.name}: ${number(one[area])}; ${ring}`
    : `all labels together and ${which}; ${ring}`;
  const share = one && one.positives / (one.positives + one.negatives);
  const series = (x, y, area, start) => all.map((curve) => ({
    name: `${curve.name}, ${number(curve[area])}`,
    points: [...start, ...curve[x].map((value, i) => [value, curve[y][i]])],
    point: [curve.point[x], curve.point[y]],
    row: [curve.name, number(curve[area]), number(curve.point.threshold),
      number(curve.point[x]), number(curve.point[y])]}));
  const head = (area, x, y) => ['curve', area, 'threshold', x, y];
  return [
    rates({
      title: 'ROC curve',
      note: `area under the curve, ${note('roc_auc')}`,
      xName: 'false positive rate', yName: 'recall', level: [0, 1],
      head: head('area', 'false positive rate', 'recall'),
      series: series('false_positive_rate', 'recall', 'roc_auc', [[0, 0]])}),
    rates({
      title: 'Precision and recall',
      note: `average precision, ${note('average_precision')}`,
      xName: 'recall', yName: 'precision', level: one && [share, share],
      head: head('average precision', 'recall', 'precision'),
      series: series('recall', 'precision', 'average_precision', [])}),
  ];
}

function drawFaithful() {
  const panel = $('faithful'), {explain} = data;
  if (!explain) {
    const {note, command} = data.untested;
    panel.append(el('p', {}, 'Whether they explain the predictions ' +
      `was not tested for this run. ${note} `, command ? code(command) : null));
    return;
  }
  const link = (paper) => {
    const [name, address] = (paper || '–').split(', https:');
    return address ? el('a', {href: `https:${address}`}, name) : name;
  };
  const within = ({low, high}) => low === null || low === undefined
    ? '–' : `${number(low)} to ${number(high)}`;
  const rows = (detail) => explain.table
    .filter((row) => Boolean(row.detail) === detail)
    .map((row) => [
      el('span', {}, row.name,
        row.reading ? el('small', {}, row.reading) : null),
      number(row.value), within(row), number(row.n), link(row.paper)]);
  const head = ['test', 'value', '95 % interval', 'texts', 'paper'];
  panel.append(...rows(false).length
    ? [el('p', {}, 'Published tests of attention as an explanation, on the ' +
        `run's ${explain.split} split.`),
      scrolled('Tests of faithfulness',
        table(head, rows(false), null, 'tests'))]
    : [el('p', {}, 'This model has no attention weights to test.')]);
  if (rows(true).length) {
    panel.append(el('details', {},
      el('summary', {}, 'By class, and share of significant texts'),
      scrolled('Tests of faithfulness by class',
        table(head, rows(true), null, 'tests'))));
  }
  const attributions = Object.entries(explain.attributions || {});
  if (!attributions.length) return;
  const words = (key) => key.replaceAll('_', ' ');
  const columns = [...new Set(attributions.flatMap(([, x]) => Object.keys(x)))];
  panel.append(el('details', {},
    el('summary', {}, 'Comparison with gradients and other attributions'),
    scrolled('Attributions', table(
      ['attribution', ...columns.map(words)],
      attributions.map(([name, x]) =>
        [words(name), ...columns.map((key) => number(x[key]))]),
      'For the predicted class. A faithful attribution has a high ' +
      'comprehensiveness and a low sufficiency.'))));
}
