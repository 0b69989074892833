// The picture and the rest of the page: address, memory and downloads (joined with
// mask_viewer_draw.js). Only the Inspect tab's viewer takes part; it is the one with a photo input.

const HIDES = { classes: 'hide-class', sizes: 'hide-size', grids: 'hide-grid' };
const speaks = () => Boolean(props.photo_input);

// -- the page's address: app/query.py reads what is written here -----------------------------

function writeAddress(entries) {
  if (!speaks()) return;
  const url = new URL(window.location.href);
  for (const [name, value] of Object.entries(entries)) {
    if (value) url.searchParams.set(name, value); else url.searchParams.delete(name);
  }
  if (url.href !== window.location.href) window.history.replaceState(window.history.state, '', url);
}

function filterAddress() {
  const found = { score: leastScore ? String(Math.round(100 * leastScore) / 100) : '' };
  for (const [kind, name] of Object.entries(HIDES)) {
    found[name] = [...left[kind]].map(encodeURIComponent).join(',');
  }
  return found;
}

function takeFilter(wanted) {
  left = { classes: new Set(wanted.classes), sizes: new Set(wanted.sizes), grids: new Set(wanted.grids) };
  leastScore = wanted.score;
}

// -- what the browser remembers --------------------------------------------------------------

function takePreferences(wanted) {
  colourBy = wanted.colour; opacity = wanted.fill / 100; base = null;
  find('by').value = colourBy;
  root.dataset.colour = colourBy;
  root.querySelector('.mv-opacity input').value = String(wanted.fill);
}

function tellPreferences() {
  if (speaks()) trigger('prefer', { colour: colourBy, fill: Math.round(100 * opacity) });
}

// -- downloads -------------------------------------------------------------------------------

const save = find('save'), saveTitle = save.querySelector('summary');

for (const [kind, name, about] of props.files || []) {
  const button = make('button', 'mv-file');
  button.type = 'button'; button.dataset.testid = 'save-' + kind;
  button.append(make('b', '', name), make('span', '', about));
  button.addEventListener('click', () => {
    if (!view || save.dataset.busy) return;
    save.dataset.busy = 'true'; saveTitle.textContent = 'Preparing …';
    closeSave();
    trigger('export', { kind });
  });
  find('files').append(button);
}
save.hidden = !(props.files || []).length;

function closeSave() {
  const inside = save.open && save.contains(document.activeElement);
  save.open = false;
  if (inside) saveTitle.focus();
}

document.addEventListener('dm-saved', () => {
  delete save.dataset.busy; saveTitle.textContent = 'Download';
});
document.addEventListener('pointerdown', (event) => { if (!save.contains(event.target)) save.open = false; });
save.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && save.open) { closeSave(); event.stopPropagation(); }
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by || !save.open) return;
  const all = [...save.querySelectorAll('.mv-file')], at = all.indexOf(document.activeElement);
  all[(at + by + all.length) % all.length].focus();
  event.preventDefault(); event.stopPropagation();
});
