'use strict';

// Every string becomes a text node, so that no text is read as markup.
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) {
    node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return '–';
  if (typeof value !== 'number') return String(value);
  if (Number.isInteger(value)) return value.toLocaleString('en');
  if (Math.abs(value) >= 100) {
    return value.toLocaleString('en', {maximumFractionDigits: 1});
  }
  const small = value !== 0 && Math.abs(value) < 10 ** -digits;
  return small ? value.toExponential(1) : value.toFixed(digits);
}

function table(head, rows, caption = null, className = '') {
  const cells = (row) => row.map((cell, i) =>
    el(i ? 'td' : 'th', i ? {} : {scope: 'row'}, cell));
  return el('table', {class: className},
    caption && el('caption', {}, caption),
    el('thead', {}, el('tr', {},
      ...head.map((cell) => el('th', {scope: 'col'}, cell)))),
    el('tbody', {}, ...rows.map((row) => el('tr', {}, ...cells(row)))));
}

// A table that can be scrolled sideways, also with the keyboard.
function scrolled(label, node) {
  return el('div', {
    class: 'scroll', tabindex: 0, role: 'group', 'aria-label': label}, node);
}

// A command as words, between which its lines end if they can.
const wordsOf = (command) => command.split(/(\s+)/).map((part) =>
  part.trim() ? el('span', {class: 'word'}, part) : part);
const code = (command) => el('code', {}, ...wordsOf(command));

function ticks(low, high, count = 5) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= raw);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9; i++) {
    found.push(i * step);
  }
  return found;
}

const tick = (value) => {
  if (!value) return '0';
  const size = Math.abs(value);
  if (size < 1e-3) return value.toExponential(0);
  if (size >= 1e4) return `${+(value / 1000).toFixed(1)}k`;
  return String(+value.toPrecision(3));
};

const WIDTH = 440, HEIGHT = 250;
const LEFT = 66, RIGHT = 14, TOP = 12, BOTTOM = 40;

// The axes of a chart, and the functions from values to positions.
function axes({x, y, xName, yName, xTicks = ticks(...x), wholeX = false}) {
  const place = (range, from, to) => (value) =>
    from + (to - from) * ((value - range[0]) / (range[1] - range[0] || 1));
  const toX = place(x, LEFT, WIDTH - RIGHT);
  const toY = place(y, HEIGHT - BOTTOM, TOP);
  const root = svg('svg', {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, 'aria-hidden': 'true'});
  for (const value of ticks(...y)) {
    root.append(
      svg('path', {class: 'grid', d: `M${LEFT} ${toY(value)}H${WIDTH - RIGHT}`}),
      svg('text', {x: LEFT - 6, y: toY(value) + 4, 'text-anchor': 'end'},
        tick(value)));
  }
  for (const value of xTicks) {
    if (wholeX && !Number.isInteger(value)) continue;
    root.append(svg('text',
      {x: toX(value), y: HEIGHT - BOTTOM + 16, 'text-anchor': 'middle'},
      tick(value)));
  }
  root.append(
    svg('path', {
      class: 'axis', d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}`}),
    svg('text', {
      x: (LEFT + WIDTH) / 2, y: HEIGHT - 6, 'text-anchor': 'middle'}, xName),
    svg('text', {
      transform: `translate(12 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`,
      'text-anchor': 'middle'}, yName));
  return {root, toX, toY};
}

// A figure: a picture, its description, and its numbers in a table.
function figure(title, note, picture, numbers, wide = false) {
  return el('figure', {class: wide ? 'wide' : ''},
    el('figcaption', {}, title, note && el('small', {}, note)),
    picture,
    numbers && el('details', {}, el('summary', {}, `Numbers: ${title}`),
      scrolled(title, numbers)));
}

function legend(root, series) {
  let at = LEFT + 10;
  series.forEach(({name}, i) => {
    root.append(
      svg('path', {class: `line s${i}`, d: `M${at} ${TOP + 2}h26`}),
      svg('text', {x: at + 31, y: TOP + 6}, name));
    at += 46 + 7 * name.length;
  });
}

function lines({title, note, xName, yName, series, best, zero = false}) {
  const points = series.flatMap((one) => one.points);
  const xs = points.map((p) => p[0]);
  const ys = points.map((p) => p[1]);
  const low = zero ? 0 : Math.min(...ys), high = Math.max(...ys);
  const room = (high - low || Math.abs(high) || 1) * 0.12;
  const {root, toX, toY} = axes({
    x: [Math.min(...xs), Math.max(...xs)],
    y: [zero ? 0 : low - room, high + 1.6 * room],
    xName, yName, wholeX: true});
  series.forEach(({points}, i) => {
    const d = points.map(([x, y]) => `${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`);
    root.append(svg('path', {class: `line s${i}`, d: `M${d.join('L')}`}));
    if (points.length > 40) return;
    for (const [x, y] of points) {
      root.append(svg('circle',
        {class: `dot s${i}`, cx: toX(x), cy: toY(y), r: 2.5}));
    }
  });
  if (best) {
    root.append(svg('circle',
      {class: 'best', cx: toX(best[0]), cy: toY(best[1]), r: 7}));
  }
  if (series.length > 1) legend(root, series);
  const places = [...new Set(xs)].sort((a, b) => a - b);
  const rows = places.map((x) => [number(x), ...series.map(({points}) =>
    number((points.find((p) => p[0] === x) || [])[1], 4))]);
  return figure(title, note, root,
    table([xName, ...series.map((one) => one.name)], rows));
}

// Curves of rates between 0 and 1, with the point of a decision on each.
// `level` is a dashed line, from the left border to the right one.
function rates({title, note, xName, yName, series, level, head}) {
  const {root, toX, toY} = axes({x: [0, 1], y: [0, 1], xName, yName});
  const position = ([x, y]) => `${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`;
  if (level) {
    root.append(svg('path', {class: 'diagonal',
      d: `M${position([0, level[0]])}L${position([1, level[1]])}`}));
  }
  series.forEach(({points}, i) => root.append(svg('path',
    {class: `line s${i}`, d: `M${points.map(position).join('L')}`})));
  series.forEach(({point: [x, y]}, i) => {
    if (x === null || y === null) return;
    const place = {cx: toX(x), cy: toY(y)};
    root.append(svg('circle', {class: `dot s${i}`, r: 3, ...place}),
      svg('circle', {class: 'best', r: 6, ...place}));
  });
  const keys = el('ul', {class: 'keys'}, ...series.map(({name}, i) => {
    const line = svg('svg', {viewBox: '0 0 28 10', 'aria-hidden': 'true'});
    line.append(svg('path', {class: `line s${i}`, d: 'M1 5h26'}));
    return el('li', {}, line, name);
  }));
  return figure(title, note, el('div', {}, root, series.length > 1 ? keys : ''),
    table(head, series.map(({row}) => row)));
}

// Bars between given borders, with the diagonal of perfect calibration. A bar
// of height 0 is a line, because there is no bar where there are no texts.
function bars({title, note, xName, yName, x, bins, diagonal = false, head}) {
  const {root, toX, toY} = axes({x, y: [0, 1], xName, yName});
  for (const {low, high, value} of bins) {
    const left = toX(low) + 1, width = Math.max(toX(high) - left - 1, 2);
    const height = Math.max(toY(0) - toY(value), 3);
    root.append(svg('rect', {
      class: 'bar', x: left, width, y: toY(0) - height, height}));
  }
  if (diagonal) {
    root.append(svg('path', {
      class: 'diagonal', d: `M${toX(0)} ${toY(0)}L${toX(1)} ${toY(1)}`}));
  }
  return figure(title, note, root, table(head, bins.map((bin) => bin.row)));
}

// Shares with names, as bars that have the interval as a whisker.
function shareBars(label, shares, color = 's0') {
  // As the sentences are rounded, with halves up.
  const percent = (x) =>
    (Math.floor(10 * (100 * x) + 0.5) / 10).toFixed(1);
  const sign = '\u00a0%';
  return el('ul', {class: 'shares', 'aria-label': label}, ...shares.map(
    ({name, value, low, high, note = null}) => {
      const bar = svg('svg', {
        viewBox: '0 0 200 12', preserveAspectRatio: 'none',
        'aria-hidden': 'true'});
      bar.append(
        svg('rect', {class: 'track', width: 200, height: 12}),
        svg('rect', {class: `bar ${color}`, width: 200 * value, height: 12}));
      const interval = low === null ? null
        : ` (${percent(low)} to ${percent(high)}${sign})`;
      if (interval) {
        bar.append(svg('path', {class: 'whisker',
          d: `M${200 * low} 6H${200 * high}M${200 * low} 2V10` +
            `M${200 * high} 2V10`}));
      }
      return el('li', {}, el('span', {class: 'name'}, name,
        note && el('small', {}, note)),
      el('span', {class: 'value'}, el('b', {}, percent(value) + sign),
        interval && el('small', {}, interval)), bar);
    }));
}

// Horizontal bars with names, in a table so that screen readers read them.
function namedBars({title, note, head, rows, wide = false}) {
  const body = rows.map(([name, value, ...others]) => {
    const bar = svg('svg',
      {viewBox: '0 0 100 10', 'aria-hidden': 'true', style: 'width: 6rem'});
    bar.append(
      svg('path', {class: 'grid', d: 'M0 9.5H100'}),
      svg('rect', {class: 'bar', x: 0, y: 1, width: 100 * value, height: 8}));
    return [name, bar, number(value), ...others];
  });
  return figure(title, note, scrolled(title, table(head, body)), null, wide);
}

function confusion(title, labels, counts) {
  const most = 25;
  if (labels.length > most) {
    const pairs = counts.flatMap((row, i) =>
      row.map((n, j) => [labels[i], labels[j], n]).filter((x, j) => i !== j));
    pairs.sort((a, b) => b[2] - a[2]);
    const rows = pairs.slice(0, most).filter((x) => x[2])
      .map(([gold, answer, n]) => [gold, answer, number(n)]);
    return figure(title, `the pairs of the ${labels.length} classes that are ` +
      'confused most often', scrolled(title,
      table(['true label', 'prediction', 'texts'], rows)), null);
  }
  const body = counts.map((row, i) => {
    const sum = row.reduce((a, b) => a + b, 0) || 1;
    return el('tr', {}, el('th', {scope: 'row'}, labels[i]),
      ...row.map((n, j) => el('td', {
        class: i === j ? 'shaded diagonal-cell' : 'shaded',
        style: `--a: ${(n / sum).toFixed(3)}`}, number(n))));
  });
  return figure(title, 'rows: true labels, columns: predictions; the shade is the ' +
    'share of the row', scrolled(title, el('table', {class: 'confusion'},
    el('thead', {}, el('tr', {}, el('td', {}),
      ...labels.map((name) => el('th', {scope: 'col'}, name)))),
    el('tbody', {}, ...body))), null, labels.length > 6);
}
