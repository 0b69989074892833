// Body of a function with element, trigger, props, watch: see Gradio's "custom HTML components".
// Everything the user reads is set through textContent, never through innerHTML.
const root = element.querySelector('.mv');
const find = (name) => root.querySelector('.mv-' + name);
const canvas = find('canvas'), stage = find('stage'), tip = find('tip'), live = find('live');
const body = root.querySelector('tbody'), context = canvas.getContext('2d');
const CLICK_SLOP = 6; // css px within which a click repeats the last one
const MIN_DRAG = 4; // css px; less is a click

let view = null; // the value that is shown
let photo = null, photoUrl = null;
let ids = null; // Uint16Array: id of each display pixel
let base = null; // canvas with all that does not follow the pointer; null asks for a new one
let fill = null; // canvas with the masks' colours at full opacity
let byId = new Map();
let selected = null, hovered = null, drawing = false, drag = null, lastClick = null;
let dimmed = new Set();
let version = 0; // later values win over images that were still being decoded
let opacity = 0.45;
let colourBy = 'grid'; // or class, score, size, instance; dashes always tell the grid
let masksOnly = false;
let latest = 0; // the newest answer's number: an older one that comes late is not shown
let frame = 0;

const grid = (number) => view.grids.find((g) => g.grid === number);
const colourOf = (object) => colourBy === 'grid' ? grid(object.grid).colour : object.colours[colourBy];
const haloOf = (object) => colourBy === 'grid' ? grid(object.grid).halo : '#14161a';
const parse = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const make = (tag, name, words) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (words !== undefined) node.textContent = words;
  return node;
};

function loadImage(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error('image'));
    image.src = url;
  });
}

// -- taking a new value over ---------------------------------------------------------------

async function update() {
  const sent = props.value; // see MaskViewer.postprocess
  const value = sent && sent.packed ? { ...JSON.parse(sent.packed), photo: sent.photo } : sent;
  if (value && value.seq) {
    if (value.seq < latest) return;
    latest = value.seq;
  }
  if (value && value.prefs) takePreferences(value.prefs);
  const mine = ++version, began = performance.now();
  if (!value || !value.key) {
    if (view) { resetFilter(); writeAddress({ example: '', policy: '', budget: '', ...filterAddress() }); }
    view = null; photo = null; photoUrl = null; ids = null; fill = null; byId = new Map();
    selected = null; setDrawing(false); dimmed = new Set();
    root.dataset.objects = '0'; root.dataset.selected = ''; root.dataset.ready = 'false';
    return;
  }
  const url = value.photo && value.photo.url;
  try {
    const [picture, map] = await Promise.all([
      url === photoUrl && photo ? photo : loadImage(url), loadImage(value.idmap)]);
    if (mine !== version) return;
    const fresh = !view || view.key !== value.key;
    photo = picture; photoUrl = url; view = value;
    byId = new Map(value.objects.map((o) => [o.id, prepare(o)]));
    ids = readIds(map);
    if (fresh) { selected = null; dimmed = new Set(); resetFilter(); setDrawing(false); }
    if (value.filter) takeFilter(value.filter);
    if (value.select !== null) selected = value.select; // 0 is nothing
    if (!byId.has(selected)) selected = null;
    hovered = null; lastClick = null;
    hideTip();
  } catch (error) {
    if (mine !== version) return;
    showHint('Expected the picture to load, the connection failed; reload the page.');
    return;
  }
  writeFilter(); paintFill(); writeHead(); writeTable(); layout(); mark(); tellVisible();
  if (value.query) writeAddress({ ...value.query, ...filterAddress() });
  root.dataset.ms = (performance.now() - began).toFixed(0); // from the answer to the picture
  root.dataset.seq = String(value.seq || 0);
  root.dataset.ready = 'true';
}

function prepare(object) {
  const path = new Path2D();
  for (const points of object.outlines) {
    for (let i = 0; i < points.length; i += 2) {
      const x = points[i] + 0.5, y = points[i + 1] + 0.5;
      if (i) path.lineTo(x, y); else path.moveTo(x, y);
    }
    path.closePath();
  }
  return { ...object, path };
}

function offscreen() {
  const other = document.createElement('canvas');
  other.width = view.width; other.height = view.height;
  return other;
}

function readIds(map) {
  const other = offscreen(), pen = other.getContext('2d', { willReadFrequently: true });
  pen.drawImage(map, 0, 0);
  const pixels = pen.getImageData(0, 0, view.width, view.height).data;
  const out = new Uint16Array(view.width * view.height);
  for (let i = 0; i < out.length; i++) out[i] = pixels[4 * i] + 256 * pixels[4 * i + 1];
  return out;
}

function paintFill() {
  base = null;
  fill = offscreen();
  const pen = fill.getContext('2d');
  if (isFiltered()) { // what a hidden object covered is seen again
    for (const object of shown().sort((a, b) => b.area - a.area)) {
      pen.globalCompositeOperation = 'destination-out'; pen.globalAlpha = 1;
      pen.fillStyle = '#000'; pen.fill(object.path, 'evenodd');
      pen.globalCompositeOperation = 'source-over';
      pen.globalAlpha = dimmed.has(object.grid) ? 0.16 : 1;
      pen.fillStyle = colourOf(object); pen.fill(object.path, 'evenodd');
    }
    return;
  }
  const image = pen.createImageData(view.width, view.height);
  const colours = new Map();
  for (const object of view.objects) {
    const [r, g, b] = parse(colourOf(object));
    const alpha = dimmed.has(object.grid) ? 40 : 255;
    colours.set(object.id, (alpha << 24 | b << 16 | g << 8 | r) >>> 0);
  }
  const words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < ids.length; i++) if (ids[i]) words[i] = colours.get(ids[i]) || 0;
  pen.putImageData(image, 0, 0);
}

// -- drawing -------------------------------------------------------------------------------

function layout() {
  if (!view || !stage.clientWidth) return;
  const most = Math.max(260, Math.min(window.innerHeight * 0.72, 900));
  const scale = Math.min(stage.clientWidth / view.width, most / view.height, 2.5);
  const width = Math.round(view.width * scale), height = Math.round(view.height * scale);
  const sharp = Math.min(window.devicePixelRatio || 1, 2);
  const size = [Math.round(width * sharp), Math.round(height * sharp)];
  if (base && canvas.width === size[0] && canvas.height === size[1]) return;
  canvas.style.width = width + 'px'; canvas.style.height = height + 'px';
  [canvas.width, canvas.height] = size;
  base = null;
  draw();
}

function redraw() {
  if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); });
}

function paintBase() { // photo, masks and outlines: the same until something but the pointer moves
  base = document.createElement('canvas');
  base.width = canvas.width; base.height = canvas.height;
  const pen = base.getContext('2d');
  const scale = canvas.width / view.width, line = canvas.width / canvas.clientWidth / scale;
  pen.imageSmoothingQuality = 'high';
  if (masksOnly) {
    pen.fillStyle = '#2b2f38'; pen.fillRect(0, 0, canvas.width, canvas.height);
  } else pen.drawImage(photo, 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = masksOnly ? Math.max(opacity, 0.85) : opacity;
  pen.drawImage(fill, 0, 0, canvas.width, canvas.height);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.lineJoin = 'round';
  const largestFirst = shown().sort((a, b) => b.area - a.area);
  for (const object of largestFirst) {
    const dash = grid(object.grid).dash.map((v) => v * line);
    pen.globalAlpha = dimmed.has(object.grid) ? 0.25 : 1;
    stroke(object.path, haloOf(object), 3.5 * line, dash, pen);
    stroke(object.path, colourOf(object), 2 * line, dash, pen);
  }
}

function draw() {
  if (!view || !photo) return;
  if (!base) paintBase();
  const scale = canvas.width / view.width, line = canvas.width / canvas.clientWidth / scale;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalAlpha = 1;
  context.drawImage(base, 0, 0);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.lineJoin = 'round';
  if (byId.has(selected)) spotlight(byId.get(selected), line);
  if (byId.has(hovered) && hovered !== selected) {
    stroke(byId.get(hovered).path, '#14161a', 5 * line, []);
    stroke(byId.get(hovered).path, '#ffffff', 2.5 * line, []);
  }
  if (drag && drag.box) rectangle(drag.box.map((v) => v / photoScale()), line);
}

function stroke(path, colour, width, dash, pen = context) {
  pen.setLineDash(dash);
  pen.strokeStyle = colour; pen.lineWidth = width;
  pen.stroke(path);
}

function spotlight(object, line) {
  const shade = new Path2D();
  shade.rect(0, 0, view.width, view.height);
  shade.addPath(object.path);
  context.fillStyle = 'rgba(12, 14, 20, 0.34)';
  context.fill(shade, 'evenodd');
  const dash = grid(object.grid).dash.map((v) => v * line);
  stroke(object.path, '#14161a', 6 * line, []);
  stroke(object.path, '#ffffff', 4 * line, []);
  stroke(object.path, colourOf(object), 2 * line, dash);
  const box = object.box.map((v) => v / photoScale());
  rectangle(box, line);
  if (object.drawn) handles(box, line);
}

function handles([x1, y1, x2, y2], line) { // a drawn box can be moved, and pulled by its corners
  context.setLineDash([]);
  context.fillStyle = '#ffffff'; context.strokeStyle = '#14161a'; context.lineWidth = 1.5 * line;
  for (const [x, y] of [[x1, y1], [x2, y1], [x1, y2], [x2, y2]]) {
    context.fillRect(x - 4.5 * line, y - 4.5 * line, 9 * line, 9 * line);
    context.strokeRect(x - 4.5 * line, y - 4.5 * line, 9 * line, 9 * line);
  }
}

function rectangle([x1, y1, x2, y2], line) {
  const path = new Path2D();
  path.rect(x1, y1, x2 - x1, y2 - y1);
  stroke(path, 'rgba(20, 22, 26, 0.7)', 2.5 * line, []);
  stroke(path, '#ffffff', 1.2 * line, [6 * line, 4 * line]);
}

const photoScale = () => view.photo_width / view.width; // photo px for each display px

