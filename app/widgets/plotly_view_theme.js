// What of a figure depends on the page: its theme and its width (joined with plotly_view.js).

const COLOUR_KEY = /colou?r$/i;
const DATA_KEYS = new Set(['x', 'y', 'z', 'customdata', 'ids', 'text', 'hovertext', 'meta']);
const NARROW = 560; // css px; legends go above the plot, long words turn
const probe = document.createElement('span');

const isDark = () => document.body.classList.contains('dark');
const isPlain = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

function resolved(variable) { // a colour as plotly can parse it, whatever the variable says
  probe.style.color = 'var(' + variable + ')';
  return getComputedStyle(probe).color;
}

function theme() {
  probe.hidden = true;
  if (!probe.isConnected) root.append(probe);
  const table = fixed.themes[isDark() ? 'dark' : 'light'];
  return {
    name: isDark() ? 'dark' : 'light',
    ink: resolved('--body-text-color'),
    soft: resolved('--border-color-primary'),
    paper: resolved('--block-background-fill'),
    accent: table.accent,
  };
}

function roleOf(colour, key) { // a colour of either theme stands for its role
  if (typeof colour !== 'string') return null;
  const roles = key === 'bgcolor' ? ['ink', 'soft', 'accent', 'paper'] : ['ink', 'soft', 'accent'];
  for (const colours of Object.values(fixed.themes)) {
    for (const role of roles) if (colours[role] === colour.toLowerCase()) return role;
  }
  return null;
}

function recoloured(value, look, key = '') {
  if (DATA_KEYS.has(key)) return value;
  if (isPlain(value)) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, recoloured(v, look, k)]));
  }
  if (Array.isArray(value)) {
    if (!value.length || typeof value[0] === 'number') return value;
    return value.map((v) => recoloured(v, look, key));
  }
  const role = COLOUR_KEY.test(key) && roleOf(value, key);
  return role ? look[role] : value;
}

function decoded(text) { // pseudo-markup of a plotly text as plain words
  const words = String(text).replace(/<br ?\/?>/g, ' ').replace(/<[^>]*>/g, '');
  const names = { lt: '<', gt: '>', amp: '&', quot: '"', nbsp: ' ' };
  return words.replace(/&(lt|gt|amp|quot|nbsp);/g, (_, name) => names[name]).trim();
}

function titles(layout) { // the title leaves the plot: beside it, it can wrap and be read aloud
  const raw = isPlain(layout.title) ? layout.title.text || '' : layout.title || '';
  const [title, ...rest] = String(raw).split(/<br ?\/?>/);
  return [decoded(title), decoded(rest.join(' '))];
}

function lettered(trace, width) { // names beside marks need room; narrow plots tell them on a tap
  const crowded = width < NARROW && /\+text/.test(trace.mode || '');
  return crowded ? { ...trace, mode: trace.mode.replace('+text', '') } : trace;
}

function wrapped(text, most) { // an axis title in lines of at most so many characters
  const lines = [''];
  for (const word of String(text || '').split(' ')) {
    const longer = lines.at(-1) ? lines.at(-1) + ' ' + word : word;
    if (longer.length > most && lines.at(-1)) lines.push(word); else lines[lines.length - 1] = longer;
  }
  return lines.join('<br>');
}

function dressed(layout, look, width, height, names) {
  const out = recoloured(layout, look);
  delete out.title;
  const narrow = width < NARROW, margin = { l: 60, r: 16, ...out.margin };
  out.width = width;
  out.height = height;
  out.autosize = false;
  out.margin = { ...margin, l: narrow ? Math.min(margin.l, 46) : margin.l, r: narrow ? 8 : margin.r, t: 14, b: 36 };
  out.paper_bgcolor = 'rgba(0,0,0,0)';
  out.plot_bgcolor = 'rgba(0,0,0,0)';
  out.font = { family: getComputedStyle(root).fontFamily, size: narrow ? 11 : 12, ...out.font, color: look.ink };
  if (narrow) out.font.size = 11;
  out.hoverlabel = { align: 'left', ...out.hoverlabel, bgcolor: look.paper, bordercolor: look.ink, font: { color: look.ink, size: 12 } };
  const legend = out.legend || {};
  if (legend.orientation === 'h' || narrow) {
    out.legend = { ...legend, orientation: 'h', x: 0, xanchor: 'left', y: 1.01, yanchor: 'bottom', title: undefined };
  }
  if (narrow && names > 5) { // in two columns, however long one of the names is
    out.legend = { ...out.legend, font: { size: 10, ...legend.font }, entrywidth: 0.48, entrywidthmode: 'fraction' };
  }
  out.legend = { bgcolor: 'rgba(0,0,0,0)', ...out.legend };
  for (const key of Object.keys(out)) {
    if (!/^[xy]axis\d*$/.test(key) || !isPlain(out[key])) continue;
    out[key] = { automargin: true, gridcolor: look.soft, linecolor: look.soft, zerolinecolor: look.soft, ...out[key] };
    if (isPlain(out[key].title)) {
      const size = narrow ? 11 : 12.5, room = key[0] === 'x' ? width - 70 : height - 190;
      if (narrow) out[key].title = { ...out[key].title, text: wrapped(out[key].title.text, room / 6) };
      out[key].title = { standoff: 8, ...out[key].title, font: { size, ...out[key].title.font } };
    }
  }
  if (!out.xaxis) out.xaxis = { automargin: true, gridcolor: look.soft, zerolinecolor: look.soft };
  if (!out.yaxis) out.yaxis = { automargin: true, gridcolor: look.soft, zerolinecolor: look.soft };
  return out;
}
