// Choosing, drawing and keys (joined with mask_viewer_draw.js and mask_viewer_words.js).

// -- what lies under the pointer -----------------------------------------------------------

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [
    (event.clientX - box.left) / box.width * view.width,
    (event.clientY - box.top) / box.height * view.height,
  ];
}

function topId([x, y]) {
  const column = Math.floor(x), row = Math.floor(y);
  if (column < 0 || row < 0 || column >= view.width || row >= view.height) return null;
  const id = ids[row * view.width + column] || null;
  if (id === null && !isFiltered()) return null;
  if (id !== null && isShown(byId.get(id))) return id;
  context.setTransform(1, 0, 0, 1, 0, 0); // what a filter hides lets those below through
  const below = shown().filter((o) => context.isPointInPath(o.path, x, y, 'evenodd'));
  return below.length ? below.reduce((a, b) => (a.area <= b.area ? a : b)).id : null;
}

function stack(point) {
  // every object under a point: the visible one first, then from small to large
  const top = topId(point);
  context.setTransform(1, 0, 0, 1, 0, 0);
  const under = shown()
    .filter((o) => o.id !== top && context.isPointInPath(o.path, point[0], point[1], 'evenodd'))
    .sort((a, b) => a.area - b.area).map((o) => o.id);
  const all = top === null ? under : [top, ...under];
  const bright = all.filter((id) => !dimmed.has(byId.get(id).grid));
  return bright.length ? bright : all;
}

// -- choosing an object --------------------------------------------------------------------

function select(id) {
  selected = id;
  mark(); redraw();
  if (id === null) live.textContent = 'Nothing selected';
  else {
    const object = byId.get(id);
    live.textContent = object.name + ', grid ' + object.grid + ', ' + object.gmac + ' GMAC';
  }
  trigger('select', { id });
}

function mark() {
  root.dataset.selected = selected === null ? '' : String(selected);
  for (const row of body.rows) {
    const on = Number(row.dataset.id) === selected;
    row.classList.toggle('on', on);
    row.setAttribute('aria-selected', String(on));
    row.classList.toggle('faded', dimmed.has(Number(row.dataset.grid)));
    if (on) intoView(row);
  }
  tellSelected();
}

function intoView(row) { // scrolls the table only, never the page
  const box = find('scroll'), head = root.querySelector('thead').offsetHeight;
  if (row.offsetTop - head < box.scrollTop) box.scrollTop = row.offsetTop - head;
  const bottom = row.offsetTop + row.offsetHeight;
  if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
}

function step(by) {
  if (!view || !view.objects.length) return;
  const all = view.objects.filter(isShown).map((o) => o.id), at = all.indexOf(selected);
  if (!all.length) return;
  select(all[at < 0 ? (by > 0 ? 0 : all.length - 1) : (at + by + all.length) % all.length]);
}

function click(event) {
  const point = place(event), all = stack(point);
  const near = lastClick && Math.hypot(event.clientX - lastClick[0], event.clientY - lastClick[1]) <= CLICK_SLOP;
  lastClick = [event.clientX, event.clientY];
  if (!all.length) { if (selected !== null) select(null); return; }
  const at = near ? all.indexOf(selected) : -1;
  select(all[(at + 1) % all.length]);
}

// -- drawing a box -------------------------------------------------------------------------

function setDrawing(on) {
  drawing = on; drag = null;
  find('draw').setAttribute('aria-pressed', String(on));
  find('draw').textContent = on ? 'Drag on the photo …' : 'Draw a box';
  canvas.classList.toggle('drawing', on);
  if (on) { hideTip(); hovered = null; }
  redraw();
}

function dragBox(event) {
  const k = photoScale(), limit = [view.photo_width, view.photo_height];
  const now = place(event).map((v, i) => Math.min(Math.max(v * k, 0), limit[i]));
  const [a, b] = [drag.from, now];
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
}

// -- moving a drawn box --------------------------------------------------------------------

function grip(event) { // which corner of the selected drawn box is held; 'all' is the box itself
  const object = byId.get(selected);
  if (!object || !object.drawn || !isShown(object)) return null;
  const k = photoScale(), [x, y] = place(event).map((v) => v * k), [x1, y1, x2, y2] = object.box;
  const reach = (event.pointerType === 'touch' ? 22 : 10) * view.photo_width / canvas.clientWidth;
  for (const [at, px, py] of [['nw', x1, y1], ['ne', x2, y1], ['sw', x1, y2], ['se', x2, y2]]) {
    if (Math.abs(x - px) <= reach && Math.abs(y - py) <= reach) return at;
  }
  return x > x1 && x < x2 && y > y1 && y < y2 ? 'all' : null;
}

function movedBox(event) {
  const k = photoScale(), [x1, y1, x2, y2] = byId.get(selected).box;
  const now = place(event).map((v) => v * k), [dx, dy] = now.map((v, i) => v - drag.from[i]);
  if (drag.grip === 'all') return shifted(dx, dy);
  const corner = [drag.grip[1] === 'w' ? x2 : x1, drag.grip[0] === 'n' ? y2 : y1];
  const end = [drag.grip[1] === 'w' ? x1 + dx : x2 + dx, drag.grip[0] === 'n' ? y1 + dy : y2 + dy];
  const limit = [view.photo_width, view.photo_height];
  const [a, b] = [corner, end.map((v, i) => Math.min(Math.max(v, 0), limit[i]))];
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
}

function shifted(dx, dy) { // the box keeps its size at the photo's edge
  const [x1, y1, x2, y2] = byId.get(selected).box;
  const x = Math.min(Math.max(dx, -x1), view.photo_width - x2);
  const y = Math.min(Math.max(dy, -y1), view.photo_height - y2);
  return [x1 + x, y1 + y, x2 + x, y2 + y];
}

const tenths = (box) => box.map((v) => Math.round(10 * v) / 10);

canvas.addEventListener('pointerdown', (event) => {
  if (!view || event.button !== 0) return;
  const from = place(event).map((v) => v * photoScale());
  drag = { from, x: event.clientX, y: event.clientY, box: null, grip: drawing ? null : grip(event) };
  if (drag.grip) canvas.setPointerCapture(event.pointerId);
  if (drawing) { canvas.setPointerCapture(event.pointerId); event.preventDefault(); canvas.focus(); }
});
canvas.addEventListener('touchstart', (event) => { // a finger on a box moves it, not the page
  if (!view || event.touches.length !== 1) return;
  const { clientX, clientY } = event.touches[0];
  if (grip({ clientX, clientY, pointerType: 'touch' })) event.preventDefault();
}, { passive: false });
canvas.addEventListener('pointermove', (event) => {
  if (!view) return;
  if (drawing) {
    if (drag) { drag.box = dragBox(event); redraw(); }
    return;
  }
  if (drag && drag.grip) {
    if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) >= CLICK_SLOP) {
      drag.box = movedBox(event); hideTip(); redraw();
    }
    return;
  }
  if (event.pointerType === 'touch') return;
  const id = topId(place(event));
  if (id !== hovered) { hovered = id; redraw(); }
  const held = grip(event), slope = { nw: 'nwse', se: 'nwse', ne: 'nesw', sw: 'nesw' }[held];
  canvas.style.cursor = slope ? slope + '-resize' : held ? 'move' : id === null ? '' : 'pointer';
  if (id === null) hideTip(); else showTip(id, event.clientX, event.clientY);
});
canvas.addEventListener('pointerup', (event) => {
  if (!view || !drag) return;
  const moved = Math.hypot(event.clientX - drag.x, event.clientY - drag.y);
  if (drawing && moved >= MIN_DRAG) {
    const box = tenths(dragBox(event));
    setDrawing(false);
    trigger('draw', { box });
  } else if (drag.grip && drag.box) trigger('move', { id: selected, box: tenths(movedBox(event)) });
  else if (!drawing && moved < CLICK_SLOP) click(event);
  drag = null;
  redraw();
});
canvas.addEventListener('pointercancel', () => { drag = null; redraw(); });
canvas.addEventListener('pointerleave', () => {
  if (drag) return;
  hovered = null; hideTip(); redraw();
});
canvas.addEventListener('dragstart', (event) => event.preventDefault());

// -- keys and tools ------------------------------------------------------------------------

root.addEventListener('keydown', (event) => {
  if (!view || event.target.matches('input, select, summary')) return;
  const row = event.target.closest('tr[data-id]');
  if (event.key === 'Escape') {
    if (drawing) setDrawing(false); else if (selected !== null) select(null);
  } else if (event.shiftKey && event.key.startsWith('Arrow') && byId.has(selected)
    && byId.get(selected).drawn) {
    const [dx, dy] = { Left: [-1, 0], Right: [1, 0], Up: [0, -1], Down: [0, 1] }[event.key.slice(5)];
    const by = Math.max(1, view.photo_width / 100), object = byId.get(selected);
    object.box = shifted(dx * by, dy * by);
    redraw();
    trigger('move', { id: selected, box: tenths(object.box) });
  } else if (event.key === 'ArrowRight' || event.key === 'ArrowDown') step(1);
  else if (event.key === 'ArrowLeft' || event.key === 'ArrowUp') step(-1);
  else if (row && event.target === row && (event.key === 'Enter' || event.key === ' ')) {
    select(Number(row.dataset.id));
  } else if (event.key === 'Delete' && byId.has(selected) && byId.get(selected).drawn) {
    trigger('remove', { id: selected });
  } else return;
  event.preventDefault();
});
find('draw').addEventListener('click', () => { if (view) setDrawing(!drawing); });
find('new').addEventListener('click', () => trigger('renew', {}));
find('by').addEventListener('change', (event) => {
  colourBy = event.target.value;
  root.dataset.colour = colourBy;
  tellPreferences();
  if (view) { paintFill(); writeKey(); writeTable(); mark(); redraw(); }
});
find('only').addEventListener('click', (event) => {
  masksOnly = !masksOnly; base = null;
  event.currentTarget.setAttribute('aria-pressed', String(masksOnly));
  redraw();
});
root.querySelector('.mv-opacity input').addEventListener('input', (event) => {
  opacity = event.target.value / 100; base = null; redraw();
});
root.querySelector('.mv-opacity input').addEventListener('change', tellPreferences);

// A photo dropped on the picture goes the same way as one dropped on the page's photo input.
stage.addEventListener('dragover', (event) => {
  if ([...event.dataTransfer.types].includes('Files')) event.preventDefault();
});
stage.addEventListener('drop', (event) => {
  const input = document.querySelector(props.photo_input + ' input[type=file]');
  if (!input || !event.dataTransfer.files.length) return;
  event.preventDefault();
  const files = new DataTransfer();
  files.items.add(event.dataTransfer.files[0]);
  input.files = files.files;
  input.dispatchEvent(new Event('change', { bubbles: true }));
});

new ResizeObserver(layout).observe(stage);
window.addEventListener('resize', layout);
watch('value', update);
update();
