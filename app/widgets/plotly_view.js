// Body of a function with element, trigger, props, watch: see Gradio's "custom HTML components".
const root = element.querySelector('.pv');
const find = (name) => root.querySelector('.pv-' + name);
const target = find('plot'), stage = find('stage');
const MAX_IDS = 5000; // more points are told by their range, see app/plot_events.py
const MAX_ROWS = 500; // of the table of numbers
const CONFIG = { displayModeBar: false, displaylogo: false, responsive: false, doubleClick: false };

let figure = null; // as Python made it
let pointIds = []; // for each trace, its points' ids (null where a point has none) or null
let latest = 0; // the newest answer's number: an older one that comes late is not shown
let chosen = new Set(); // ids with a ring
let brushed = null; // ids inside this plot's own brush, of a plot that is linked to nothing
let mine = null; // ids inside it, of a linked plot: the picture then shows these and no others
let outline = []; // that brush, as shapes: a selection of plotly's would let filtered points in it shine
let dropped = 0; // brushes so far that are no more
let visible = null; // ids that the picture's filters leave
let reason = ''; // why these are none
let mode = matchMedia('(pointer: coarse)').matches ? false : 'select'; // a finger scrolls the page
let brushable = true; // a figure without ids and marks has only zoom
let running = false, again = false, wired = false, drawn = false;

function loadPlotly() { // once per page, and only when a plot is seen
  if (!window.dmPlotly) {
    window.dmPlotly = new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.src = new URL(fixed.script, document.baseURI).href;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => { window.dmPlotly = null; script.remove(); reject(new Error('plotly')); };
      document.head.append(script);
    });
  }
  return window.dmPlotly;
}

// -- taking a new value over ---------------------------------------------------------------

function wholeId(value) {
  const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value;
  return Number.isSafeInteger(number) && number >= 0 ? number : null;
}

function idsOf(trace) {
  if (trace.hoverinfo === 'skip') return null;
  const source = trace.ids || trace.customdata;
  if (!Array.isArray(source)) return null;
  const ids = source.map((value) => wholeId(isPlain(value) ? value.id : value));
  return ids.some((id) => id !== null) ? ids : null;
}

function update() {
  const value = props.value;
  if (value && value.seq) {
    if (value.seq < latest || (value.again && value.seq === latest)) return;
    latest = value.seq;
  }
  root.dataset.ready = 'false';
  if (brushed) dropBrush();
  // a copy: plotly writes into what it draws, and Gradio watches its own
  figure = value && value.figure ? JSON.parse(JSON.stringify(value.figure)) : null;
  pointIds = figure ? figure.data.map(idsOf) : [];
  if (value && value.selected) chosen = new Set(value.selected);
  writeWords(value);
  draw();
}

function writeWords(value) {
  const [title, note] = figure ? titles(figure.layout) : ['', ''];
  find('title').textContent = (value && value.title) || title || props.label || '';
  find('note').textContent = note;
  find('caption').hidden = !find('title').textContent && !note;
  writeNothing();
  const spoken = [value && value.alt, find('title').textContent, note].filter(Boolean);
  target.setAttribute('aria-label', (spoken.join('. ') || 'Plot') + '. Its numbers are in the table below it.');
  brushable = !figure || figure.data.some((trace) => trace.customdata || trace.ids);
  for (const button of root.querySelectorAll('[data-mode="select"], [data-mode="lasso"]')) button.hidden = !brushable;
  markMode();
  if (find('numbers').open) writeNumbers();
}

function writeNothing() { // instead of a plot, or over one whose points are all left out
  const bare = !figure || (Boolean(reason) && !figure.data.length);
  find('nothing').textContent = figure ? reason : fixed.nothing;
  find('nothing').hidden = Boolean(figure) && !reason;
  find('nothing').classList.toggle('pv-over', !bare);
  target.hidden = bare;
  find('foot').hidden = bare;
}

// -- drawing -------------------------------------------------------------------------------

function ring(look) { // around the chosen points of each pair of axes
  const places = new Map();
  figure.data.forEach((trace, index) => {
    const ids = pointIds[index];
    if (!ids || !/^scatter(gl)?$/.test(trace.type || 'scatter') || trace.visible === false) return;
    const axes = (trace.xaxis || 'x') + ' ' + (trace.yaxis || 'y');
    ids.forEach((id, at) => {
      if (!chosen.has(id)) return;
      if (!places.has(axes)) places.set(axes, [[], []]);
      places.get(axes)[0].push(trace.x[at]); places.get(axes)[1].push(trace.y[at]);
    });
  });
  const rings = [...places].map(([axes, [x, y]]) => ({
    type: 'scatter', mode: 'markers', x, y, xaxis: axes.split(' ')[0], yaxis: axes.split(' ')[1],
    marker: { symbol: 'circle-open', size: 17, color: look.ink, line: { width: 2.5, color: look.ink } },
    hoverinfo: 'skip', showlegend: false, cliponaxis: false,
  }));
  root.dataset.selected = rings.length ? [...chosen].join(',') : '';
  return rings;
}

function faded(trace, ids) { // points that a filter or a brush leaves out step back
  if (!ids || (!visible && !brushed)) return trace;
  const kept = [];
  ids.forEach((id, at) => {
    if (id === null || ((!visible || visible.has(id)) && (!brushed || brushed.has(id)))) kept.push(at);
  });
  if (kept.length === ids.length) return trace;
  return { ...trace, selectedpoints: kept, unselected: { marker: { opacity: 0.13 } } };
}

function composed() {
  const names = figure.data.filter((trace) => trace.name && trace.showlegend !== false).length;
  const look = theme(), height = (figure.layout && figure.layout.height) || fixed.tall;
  const data = figure.data.map((trace, index) => faded(lettered(recoloured(trace, look), stage.clientWidth), pointIds[index]));
  const layout = dressed(figure.layout || {}, look, stage.clientWidth, height, names);
  layout.uirevision = layout.uirevision || find('title').textContent || 'plot'; // a zoom outlives new numbers
  layout.dragmode = dragMode();
  layout.clickmode = 'event';
  if (mine) layout.shapes = [...(layout.shapes || []), ...outline.map((shape) => ({
    ...shape, line: { color: look.ink, width: 1.5, dash: 'dot' }, fillcolor: 'rgba(0,0,0,0)', layer: 'above',
  }))];
  layout.selections = brushed && target.layout ? target.layout.selections || [] : [];
  layout.selectionrevision = dropped; // or plotly brings the old box back, and points in it shine
  layout.newselection = { line: { color: look.ink, width: 1.5 } };
  layout.activeselection = { fillcolor: look.accent, opacity: 0.08 };
  const shown = figure.data.reduce((sum, t, i) => sum + (pointIds[i] ? pointIds[i].length : 0), 0);
  root.dataset.points = String(shown);
  root.dataset.faded = String(data.reduce((sum, t, i) => sum
    + (t.selectedpoints && pointIds[i] ? pointIds[i].length - t.selectedpoints.length : 0), 0));
  root.dataset.theme = look.name;
  return { data: [...data, ...ring(look)], layout };
}

async function draw() {
  if (running) { again = true; return; }
  running = true;
  try {
    do {
      again = false;
      if (!figure) {
        if (drawn) window.Plotly.purge(target);
        drawn = wired = false;
        root.dataset.points = '0'; root.dataset.selected = '';
        continue;
      }
      if (!stage.clientWidth) return; // hidden; its size will be told when it is shown
      const Plotly = await loadPlotly();
      if (!figure || !stage.clientWidth) { again = !figure; continue; }
      const { data, layout } = composed();
      await Plotly.react(target, data, layout, CONFIG);
      drawn = true;
      if (!wired) { listen(); wired = true; }
      if (!again) { root.dataset.seq = String(latest); root.dataset.ready = 'true'; }
    } while (again);
  } catch (error) {
    if (error.message !== 'plotly') console.error('plot', error);
    find('nothing').textContent = fixed.failed;
    find('nothing').hidden = false;
    target.hidden = true;
  } finally {
    running = false;
  }
}

// -- tools and the table of numbers --------------------------------------------------------

const dragMode = () => (mode && !brushable ? 'zoom' : mode);

function markMode() {
  for (const button of root.querySelectorAll('[data-mode]')) {
    button.setAttribute('aria-pressed', String(button.dataset.mode === dragMode()));
  }
}

function cell(tag, words) {
  const node = document.createElement(tag), number = typeof words === 'number';
  node.textContent = number ? String(Number(words.toPrecision(6))) : decoded(words === null || words === undefined ? '' : words);
  if (number) node.className = 'n';
  if (tag === 'th') node.scope = 'col';
  return node;
}

function writeNumbers() {
  const head = document.createElement('tr'), rows = [];
  const axis = (name) => {
    const title = figure.layout[name] && figure.layout[name].title;
    return (isPlain(title) ? title.text : title) || name[0];
  };
  head.append(cell('th', 'Series'), cell('th', axis('xaxis')), cell('th', axis('yaxis')), cell('th', 'Words'));
  for (const trace of figure.data) {
    if (trace.hoverinfo === 'skip' || !Array.isArray(trace.x) || !Array.isArray(trace.y)) continue;
    for (let at = 0; at < trace.x.length && rows.length < MAX_ROWS; at++) {
      const words = Array.isArray(trace.hovertext) ? trace.hovertext[at] : '', row = document.createElement('tr');
      row.append(cell('td', trace.name || ''), cell('td', trace.x[at]), cell('td', trace.y[at]), cell('td', words));
      rows.push(row);
    }
  }
  root.querySelector('thead').replaceChildren(head);
  root.querySelector('tbody').replaceChildren(...rows);
}

find('numbers').addEventListener('toggle', () => { if (find('numbers').open && figure) writeNumbers(); });
for (const button of root.querySelectorAll('[data-mode]')) {
  button.addEventListener('click', () => {
    mode = dragMode() === button.dataset.mode ? false : button.dataset.mode;
    markMode();
    if (drawn) window.Plotly.relayout(target, { dragmode: dragMode() });
  });
}
find('reset').addEventListener('click', async () => {
  if (!drawn) return;
  const plotly = window.Plotly, axes = Object.keys(target.layout).filter((k) => /^[xy]axis\d*$/.test(k));
  const changes = {};
  for (const name of axes) {
    const range = figure.layout[name] && figure.layout[name].range;
    changes[range ? name + '.range' : name + '.autorange'] = range || true;
  }
  await plotly.relayout(target, changes);
  clearBrush();
});
find('save').addEventListener('click', () => {
  if (!drawn) return;
  const { data, layout } = composed();
  const title = { text: figure.layout.title && figure.layout.title.text, x: 0.01, xanchor: 'left' };
  window.Plotly.downloadImage(
    { data, layout: { ...layout, title, margin: { ...layout.margin, t: 70 }, height: layout.height + 60, paper_bgcolor: theme().paper } },
    { format: 'png', scale: 2, width: Math.max(layout.width, 700), height: layout.height + 60, filename: 'dynamask-plot' });
});
