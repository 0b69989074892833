// Tooltip, legend, table: the words around the picture (joined with mask_viewer_draw.js).

function showTip(id, x, y) {
  const object = byId.get(id);
  tip.replaceChildren();
  const head = make('div', 'mv-tip-head');
  const dot = make('i'); dot.style.background = colourOf(object);
  head.append(dot, make('strong', '', object.name));
  if (object.score !== null) head.append(make('span', '', object.score.toFixed(2)));
  const facts = make('div', '', 'grid ' + object.grid + ' · ' + object.gmac + ' GMAC · '
    + object.area.toLocaleString('en') + ' px²');
  const odds = make('div', 'mv-tip-odds', view.grids.map((g, i) =>
    g.grid + ': ' + Math.round(100 * object.probs[i]) + '%').join('   '));
  tip.append(head, facts, odds);
  tip.hidden = false;
  const room = stage.getBoundingClientRect();
  const left = Math.min(Math.max(4, x - room.left + 14), Math.max(4, room.width - tip.offsetWidth - 4));
  let top = y - room.top + 16;
  if (top + tip.offsetHeight > room.height - 4) top = Math.max(4, y - room.top - tip.offsetHeight - 12);
  tip.style.left = left + 'px'; tip.style.top = top + 'px';
}

function hideTip() { tip.hidden = true; }

function showHint(words) {
  const hint = find('hint');
  hint.textContent = words || '';
  hint.hidden = !words;
}

// -- words around the picture --------------------------------------------------------------

function writeHead() {
  const left = shown().length;
  find('count').textContent = view.summary
    + (left < view.objects.length ? ' (' + left + ' shown)' : '');
  find('cost').textContent = view.cost;
  showHint(why());
  const notices = find('notices');
  notices.replaceChildren(...view.notices.map((words) => make('li', '', words)));
  notices.hidden = !view.notices.length;
  canvas.setAttribute('aria-label', view.name + ': ' + view.summary
    + '. Arrow keys go from object to object, Escape clears the selection.');
  root.dataset.objects = String(view.objects.length);
  root.dataset.grids = view.grids.map((g) => g.grid + ':' + g.count).join(',');
  root.dataset.key = view.key;
  find('legend').replaceChildren(...view.grids.map(chip));
  writeKey();
}

function writeKey() { // what the colours mean, where they are not the grid's
  const entries = view.keys[colourBy] || [];
  find('key').replaceChildren(...entries.map(([words, colour]) => {
    const item = make('span'), dot = make('i');
    dot.style.background = colour;
    item.append(dot, make('span', '', words));
    return item;
  }));
  find('key').hidden = !entries.length;
}

function chip(style) {
  const button = make('button', 'mv-chip');
  button.type = 'button';
  button.dataset.grid = style.grid;
  button.dataset.testid = 'legend-' + style.grid;
  button.disabled = !style.count;
  const others = view.grids.filter((g) => g.grid !== style.grid);
  const alone = dimmed.size === others.length && !dimmed.has(style.grid);
  button.setAttribute('aria-pressed', String(alone));
  button.classList.toggle('faded', dimmed.has(style.grid));
  button.title = alone ? 'Show all grids' : 'Show grid ' + style.grid + ' alone';
  const space = 'http://www.w3.org/2000/svg';
  const picture = document.createElementNS(space, 'svg');
  picture.setAttribute('viewBox', '0 0 30 14'); picture.setAttribute('aria-hidden', 'true');
  const rect = document.createElementNS(space, 'rect');
  const looks = { x: 1.5, y: 1.5, width: 27, height: 11, rx: 3, fill: style.colour,
    'fill-opacity': 0.5, stroke: style.colour, 'stroke-width': 2,
    'stroke-dasharray': style.dash.map((v) => v / 1.6).join(' ') };
  for (const [name, value] of Object.entries(looks)) rect.setAttribute(name, value);
  picture.append(rect);
  button.append(picture, make('span', '', String(style.grid)), make('b', '', String(style.count)));
  button.addEventListener('click', () => {
    dimmed = new Set(alone ? [] : others.map((g) => g.grid));
    paintFill(); writeHead(); mark(); redraw();
    root.querySelector('.mv-chip[data-grid="' + style.grid + '"]').focus();
  });
  return button;
}

function writeTable() {
  body.replaceChildren(...view.objects.map(tableRow));
  find('scroll').hidden = !shown().length; // an empty one would scroll and hold nothing
}

function tableRow(object) {
  const row = make('tr');
  row.hidden = !isShown(object);
  row.dataset.id = object.id; row.dataset.testid = 'row'; row.dataset.grid = object.grid;
  if (object.anchor) {
    row.dataset.x = (object.anchor[0] + 0.5) / view.width;
    row.dataset.y = (object.anchor[1] + 0.5) / view.height;
  }
  row.tabIndex = 0;
  const name = make('th'); name.scope = 'row';
  const dot = make('i'); dot.style.background = colourOf(object);
  name.append(dot, make('span', '', object.name));
  const score = make('td', 'n', object.score === null ? '–' : object.score.toFixed(2));
  const odds = make('td', 'p'), bars = make('div', 'mv-odds');
  bars.setAttribute('role', 'img');
  bars.setAttribute('aria-label', view.grids.map((g, i) =>
    g.grid + ': ' + Math.round(100 * object.probs[i]) + '%').join(', '));
  view.grids.forEach((g, i) => {
    const bar = make('i', g.grid === object.grid ? 'on' : '');
    const inner = make('i');
    inner.style.width = 100 * object.probs[i] + '%'; inner.style.background = g.colour;
    bar.append(inner); bars.append(bar);
    bar.title = g.grid + ': ' + Math.round(100 * object.probs[i]) + '%';
  });
  odds.append(bars);
  const last = make('td', 'x');
  if (object.drawn) {
    const remove = make('button', 'mv-remove', '×');
    remove.type = 'button'; remove.setAttribute('aria-label', 'Remove this drawn box');
    remove.addEventListener('click', (event) => {
      event.stopPropagation(); trigger('remove', { id: object.id });
    });
    last.append(remove);
  }
  const chosen = make('td', 'n', String(object.grid));
  if (object.by_hand) { chosen.append(make('span', 'mv-hand', ' ✎')); chosen.title = 'set by hand'; }
  row.append(name, score, make('td', 'n', object.area.toLocaleString('en')), chosen, odds, make('td', 'n', object.gmac), last);
  row.addEventListener('click', () => select(object.id));
  row.addEventListener('mouseenter', () => { hovered = object.id; redraw(); });
  row.addEventListener('mouseleave', () => { hovered = null; redraw(); });
  return row;
}

