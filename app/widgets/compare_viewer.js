// Body of a function with element, trigger, props, watch: see Gradio's "custom HTML components".
// Everything the user reads is set through textContent or attributes, never through innerHTML.
const SVG = 'http://www.w3.org/2000/svg';
const root = element.querySelector('.cv');
const find = (name) => root.querySelector('.cv-' + name);
const svg = find('svg'), frame = find('frame'), range = find('range'), live = find('live');
const clips = ['left', 'right'].map((side) => svg.querySelector('#cv-' + side + ' rect'));
const MIN_VIEW = 48; // display pixels; closer than that there is nothing more to see

let view = null; // the value that is shown
let selected = null, split = 50, marks = false, all = false, dragging = false;
let latest = 0; // the newest answer's number: an older one that comes late is not shown
let window_ = [0, 0, 1, 1]; // x, y, width, height of what is shown, in display pixels
let byId = new Map();

const make = (tag, name, words) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (words !== undefined) node.textContent = words;
  return node;
};
const set = (node, attributes) => {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  return node;
};

// -- taking a new value over ---------------------------------------------------------------

function update() {
  const value = props.value;
  if (value && value.seq) {
    if (value.seq < latest) return;
    latest = value.seq;
  }
  if (!value || !value.key) return clear();
  const other = !view || view.key !== value.key;
  view = value;
  byId = new Map(view.objects.map((o) => [o.id, o]));
  if (other) { selected = null; split = 50; }
  if (selected !== null && !byId.has(selected)) selected = null;
  draw(); write(); crops(); table(); zoom(selected); setSplit(split); mark();
  root.dataset.objects = String(view.objects.length);
  root.dataset.changed = String(view.order.length);
  root.dataset.seq = String(view.seq || '');
}

function clear() {
  view = null; selected = null; byId = new Map();
  root.dataset.ready = 'false'; root.dataset.objects = '0'; root.dataset.changed = '0';
  root.dataset.selected = '';
}

function draw() {
  const url = view.photo && view.photo.url, photo = find('photo');
  const size = { x: 0, y: 0, width: view.width, height: view.height };
  set(photo, size); set(find('difference'), { ...size, href: view.difference });
  if (photo.getAttribute('href') !== url) {
    root.dataset.ready = 'false';
    photo.onload = () => { root.dataset.ready = 'true'; };
    photo.setAttribute('href', url);
  } else root.dataset.ready = 'true';
  frame.style.aspectRatio = view.width + ' / ' + view.height;
  frame.style.maxWidth = 'min(100%, calc(66vh * ' + view.width / view.height + '))';
  svg.setAttribute('aria-label', view.name + ': ' + view.summary);
  const large = [...view.objects].sort((a, b) => b.area - a.area);
  ['a', 'b'].forEach((side, at) => find(side).replaceChildren(...large.map((o) => shape(o, at))));
  find('hint').hidden = !view.hint; find('hint').textContent = view.hint;
  find('first').style.background = view.colours[0];
  find('second').style.background = view.colours[1];
}

function shape(object, at) {
  const group = document.createElementNS(SVG, 'g'), look = view.grids[object.grids[at]];
  group.dataset.id = object.id;
  const path = (attributes) => group.append(
    set(document.createElementNS(SVG, 'path'), { d: object.paths[at], ...attributes }));
  path({ fill: look.colour, 'fill-opacity': 0.45, 'fill-rule': 'evenodd' });
  path({ class: 'line', fill: 'none', stroke: look.halo, 'stroke-width': 3.5 });
  path({ class: 'line', fill: 'none', stroke: look.colour, 'stroke-width': 2, 'stroke-dasharray': look.dash || 'none' });
  return group;
}

function write() {
  find('sum').textContent = view.summary;
  const totals = find('totals');
  totals.caption.textContent = view.totals_caption;
  totals.tHead.replaceChildren(row(view.totals.head, 'th'));
  totals.tBodies[0].replaceChildren(...view.totals.rows.map((cells) => row(cells, 'td')));
  find('notices').hidden = !view.notices.length;
  find('notices').replaceChildren(...view.notices.map((n) => make('li', '', n)));
}

function row(cells, tag) {
  const line = make('tr');
  cells.forEach((words, i) => {
    const cell = make(i ? tag : 'th', /^[\d.,%\u2013 ]+$/.test(words) ? 'n' : '', words);
    if (tag === 'th') cell.scope = 'col'; else if (!i) cell.scope = 'row';
    line.append(cell);
  });
  return line;
}

function crops() {
  find('most').hidden = !view.crops.length;
  find('crops').replaceChildren(...view.crops.map((crop) => {
    const button = make('button', 'cv-crop'), picture = make('img');
    button.type = 'button'; button.dataset.id = crop.id;
    picture.src = crop.svg; picture.alt = crop.label;
    button.append(picture, make('strong', '', crop.name), make('span', '', crop.caption));
    button.addEventListener('click', () => select(crop.id));
    return button;
  }));
}

function table() {
  const body = find('table').tBodies[0];
  const changed = view.order.map((id) => byId.get(id));
  const equal = view.objects.filter((o) => !o.changed);
  find('list').hidden = !view.objects.length;
  find('all').hidden = !equal.length;
  find('same').textContent = !changed.length ? 'No object changed.' : '';
  find('same').hidden = changed.length > 0;
  const head = row(view.head, 'th');
  [...head.cells].forEach((cell, i) => cell.classList.toggle('n', i > 0));
  find('table').tHead.replaceChildren(head);
  body.replaceChildren(...(all ? [...changed, ...equal] : changed).map((object) => {
    const line = row([object.name, ...object.cells], 'td');
    line.dataset.id = object.id; line.dataset.testid = 'compare-row'; line.tabIndex = 0;
    [2, 3].forEach((i, at) => {
      const dot = make('i'); dot.style.background = view.grids[object.grids[at]].colour;
      line.cells[i + 1].prepend(dot);
    });
    return line;
  }));
  find('scroll').hidden = !body.rows.length;
}

// -- the line between the two ---------------------------------------------------------------

function setSplit(percent) {
  split = Math.min(Math.max(percent, 0), 100);
  const [x, y, width, height] = window_, at = width * split / 100;
  set(clips[0], { x, y, width: at, height });
  set(clips[1], { x: x + at, y, width: width - at, height });
  find('line').style.left = split + '%';
  range.value = String(split);
  root.dataset.split = String(Math.round(split * 10) / 10);
}

function follow(event) {
  const box = frame.getBoundingClientRect();
  setSplit((event.clientX - box.left) / box.width * 100);
}

frame.addEventListener('pointerdown', (event) => {
  if (!view || event.button !== 0) return;
  dragging = true; frame.setPointerCapture(event.pointerId); follow(event);
});
frame.addEventListener('pointermove', (event) => { if (dragging) follow(event); });
for (const name of ['pointerup', 'pointercancel']) {
  frame.addEventListener(name, () => { dragging = false; });
}
range.addEventListener('input', () => setSplit(Number(range.value)));

// -- looking closely ------------------------------------------------------------------------

function zoom(id) {
  const object = byId.get(id);
  window_ = object ? around(object.box) : [0, 0, view.width, view.height];
  svg.setAttribute('viewBox', window_.join(' '));
  find('out').disabled = !object;
  const ring = find('ring');
  ring.style.display = object ? '' : 'none';
  if (object) {
    const [x1, y1, x2, y2] = object.box;
    set(ring, { x: x1, y: y1, width: x2 - x1, height: y2 - y1 });
  }
  setSplit(split);
}

function around([x1, y1, x2, y2]) { // the box with a margin, in the photo's own proportions
  const shape = view.width / view.height;
  let width = Math.max((x2 - x1) * 1.15, (y2 - y1) * 1.15 * shape, MIN_VIEW);
  width = Math.min(width, view.width, view.height * shape);
  const height = width / shape;
  const inside = (middle, side, full) => Math.min(Math.max(middle - side / 2, 0), full - side);
  return [inside((x1 + x2) / 2, width, view.width), inside((y1 + y2) / 2, height, view.height), width, height];
}

function select(id) {
  selected = id;
  zoom(id); mark();
  live.textContent = id === null ? 'The whole photo' : byId.get(id).name + ', looked at closely';
  trigger('select', { id });
}

function mark() {
  root.dataset.selected = selected === null ? '' : String(selected);
  for (const node of root.querySelectorAll('tr[data-id], .cv-crop')) {
    const on = Number(node.dataset.id) === selected;
    node.classList.toggle('on', on);
    if (node.tagName === 'TR') node.setAttribute('aria-selected', String(on));
    else node.setAttribute('aria-pressed', String(on));
  }
  for (const group of svg.querySelectorAll('g[data-id]')) {
    group.classList.toggle('faded', selected !== null && Number(group.dataset.id) !== selected);
  }
  svg.classList.toggle('marked', marks);
  find('marks').setAttribute('aria-pressed', String(marks));
}

find('table').addEventListener('click', (event) => {
  const line = event.target.closest('tr[data-id]');
  if (line) select(Number(line.dataset.id));
});
root.addEventListener('keydown', (event) => {
  if (!view) return;
  const line = event.target.closest('tr[data-id]');
  const next = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' }[event.key];
  if (event.key === 'Escape' && selected !== null) select(null);
  else if (line && (event.key === 'Enter' || event.key === ' ')) select(Number(line.dataset.id));
  else if (line && next && line[next]) line[next].focus();
  else return;
  event.preventDefault();
});
find('marks').addEventListener('click', () => { marks = !marks; mark(); });
find('out').addEventListener('click', () => { if (view) select(null); });
find('new').addEventListener('click', () => trigger('renew', {}));
find('all').addEventListener('click', (event) => {
  all = !all;
  event.currentTarget.setAttribute('aria-pressed', String(all));
  if (view) { table(); mark(); }
});

watch('value', update);
update();
