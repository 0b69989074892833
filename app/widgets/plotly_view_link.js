// What a plot tells, and what it hears (joined with plotly_view.js).
//
// Events of the document, for what is about the same photo; none of them makes a request:
//   dm-select  {id, source}   an object was chosen, or none (null)
//   dm-visible {ids, why, picked}  the objects that the picture's filters leave; why there are
//                             none; the objects of the brush among these filters, or null
//   dm-pick    {ids, source}  only these are wanted in the picture; null is all
//   dm-ask     {}             somebody new wants to hear the first two

function say(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail: { ...detail, source: root } }));
}

function hear(name, handle) {
  const listener = (event) => {
    if (!root.isConnected) document.removeEventListener(name, listener);
    else if (event.detail && event.detail.source !== root) handle(event.detail);
  };
  document.addEventListener(name, listener);
}

function pointId(point) {
  const ids = pointIds[point.curveNumber];
  return ids ? ids[point.pointNumber] ?? null : null;
}

const isHexagons = (trace) => Array.isArray(trace.customdata) && trace.customdata.some((mark) => isPlain(mark) && mark.hex);
const ends = (span) => (Array.isArray(span) && span.length === 2 && span.every(Number.isFinite) ? span.slice() : null);

function rangeOf(event) {
  const loop = event.lassoPoints;
  if (!event.range && !loop) return null;
  const pick = (axis) => {
    const values = event.range ? event.range[axis] : loop[axis];
    return Array.isArray(values) && values.every(Number.isFinite) ? [Math.min(...values), Math.max(...values)] : null;
  };
  return { x: ends(pick('x')), y: ends(pick('y')) };
}

function dropBrush() {
  brushed = mine = null;
  outline = [];
  dropped += 1;
}

function outlineOf(event) { // plotly has not written its own box down yet
  const area = event.range || event.lassoPoints, axes = Object.keys(area);
  const xref = axes.find((axis) => axis[0] === 'x'), yref = axes.find((axis) => axis[0] === 'y');
  const xs = area[xref], ys = area[yref];
  if (event.range) return { type: 'rect', xref, yref, x0: xs[0], x1: xs[1], y0: ys[0], y1: ys[1] };
  return { type: 'path', xref, yref, path: 'M' + xs.map((x, at) => x + ',' + ys[at]).join('L') + 'Z' };
}

function keepBrush(ids, event) {
  dropped += 1; // plotly's own box makes way for the outline
  mine = new Set(ids);
  outline = [outlineOf(event)];
  say('dm-pick', { ids });
}

function clearBrush() {
  dropBrush();
  if (fixed.linked) say('dm-pick', { ids: null });
  trigger('select', { kind: 'clear', ids: [], more: false, mark: null, range: null });
  draw();
}

function listen() {
  target.on('plotly_click', (event) => {
    const point = event.points && event.points[0];
    if (!point) return;
    const id = pointId(point), mark = isPlain(point.customdata) ? point.customdata : null;
    if (id === null && !mark) return;
    if (id !== null) {
      chosen = new Set([id]);
      if (fixed.linked) say('dm-select', { id });
      draw();
    }
    trigger('select', { kind: 'click', ids: id === null ? [] : [id], more: false, mark, range: null });
  });
  target.on('plotly_selected', (event) => {
    if (running || !event || (!event.range && !event.lassoPoints)) return;
    const ids = [...new Set(event.points.map(pointId).filter((id) => id !== null))];
    // hexagons stand for objects without names: the server counts those inside the brush
    const more = ids.length > MAX_IDS || figure.data.some(isHexagons), kind = event.lassoPoints ? 'lasso' : 'box';
    trigger('select', { kind, ids: more ? [] : ids, more, mark: null, range: rangeOf(event) });
    if (!fixed.linked) brushed = new Set(ids);
    else if (ids.length) keepBrush(ids, event); else dropBrush();
    draw();
  });
  target.on('plotly_doubleclick', clearBrush);
}

if (fixed.linked) {
  hear('dm-select', ({ id }) => {
    const now = wholeId(id);
    if (chosen.size === (now === null ? 0 : 1) && (now === null || chosen.has(now))) return;
    chosen = new Set(now === null ? [] : [now]);
    draw();
  });
  hear('dm-visible', ({ ids, why, picked }) => {
    visible = Array.isArray(ids) ? new Set(ids) : null;
    const same = mine && Array.isArray(picked) && mine.size === picked.length && picked.every((id) => mine.has(id));
    if (mine && !same) dropBrush(); // another plot's brush, Reset, or another photo
    reason = visible && !visible.size && typeof why === 'string' ? why : '';
    writeNothing();
    draw();
  });
}

let width = 0, dark = isDark();
const sizes = new ResizeObserver(() => { // also tells when a hidden tab or section is shown
  if (stage.clientWidth === width) return;
  width = stage.clientWidth; // 0 while hidden, so that the same width later is news again
  if (width) draw();
});
sizes.observe(stage);
const themes = new MutationObserver(() => {
  if (!root.isConnected) { themes.disconnect(); sizes.disconnect(); return; }
  if (isDark() !== dark) { dark = isDark(); draw(); }
});
themes.observe(document.body, { attributes: true, attributeFilter: ['class'] });
watch('value', update);
update();
if (fixed.linked) say('dm-ask', {});
