// Filters by class, size, grid and score: in the browser only (joined with mask_viewer_draw.js).
// Others on the page hear of the result as a `dm-visible` event of the document.

const FILTERS = { classes: (o) => o.name, sizes: (o) => o.size, grids: (o) => String(o.grid) };
let left = { classes: new Set(), sizes: new Set(), grids: new Set() }; // what is left out
let leastScore = 0;

function isShown(object) {
  if (!object || (picked && !picked.has(object.id))) return false;
  for (const [kind, of] of Object.entries(FILTERS)) if (left[kind].has(of(object))) return false;
  return object.score === null || object.score >= leastScore;
}

const shown = () => [...byId.values()].filter(isShown);
const isFiltered = () => [...byId.values()].some((o) => !isShown(o));

function resetFilter() { // nothing is left out
  left = { classes: new Set(), sizes: new Set(), grids: new Set() };
  leastScore = 0;
  picked = null;
}

function writeFilter() {
  for (const [kind, of] of Object.entries(FILTERS)) {
    const counts = new Map();
    for (const object of view.objects) counts.set(of(object), (counts.get(of(object)) || 0) + 1);
    const order = kind === 'classes' ? [...counts.keys()].sort()
      : kind === 'sizes' ? view.keys.size.map(([words]) => words) : view.grids.map((g) => String(g.grid));
    const boxes = order.filter((word) => counts.has(word)).map((word) => {
      const label = make('label'), box = make('input');
      box.type = 'checkbox'; box.checked = !left[kind].has(word);
      box.dataset.testid = 'filter-' + kind; box.value = word;
      box.addEventListener('change', () => {
        if (box.checked) left[kind].delete(word); else left[kind].add(word);
        applyFilter();
      });
      label.append(box, make('span', '', word), make('b', '', String(counts.get(word))));
      return label;
    });
    const set = find(kind);
    set.replaceChildren(set.firstElementChild, ...boxes);
  }
  const slider = root.querySelector('.mv-least input');
  slider.value = String(leastScore);
  root.querySelector('.mv-least output').textContent = leastScore.toFixed(2);
  const hiddenNow = view.objects.length - shown().length;
  find('active').textContent = hiddenNow ? hiddenNow + ' left out' : '';
  find('reset').disabled = !hiddenNow;
  root.dataset.shown = String(shown().length);
}

function applyFilter() {
  if (!view) return;
  if (selected !== null && !isShown(byId.get(selected))) select(null);
  hovered = null; hideTip();
  const focused = document.activeElement, kind = focused && focused.dataset.testid, word = focused && focused.value;
  writeFilter(); paintFill(); writeHead(); writeTable(); mark(); redraw(); tellVisible();
  writeAddress(filterAddress());
  if (kind && kind.startsWith('filter-')) {
    const again = [...root.querySelectorAll('[data-testid="' + kind + '"]')];
    (again.find((box) => box.value === word) || again[0]).focus();
  }
}

function why() { // there is nothing to see, and what to do
  const all = view.objects.length;
  if (!all) return view.hint;
  if (shown().length) return '';
  return 'Filters leave out ' + (all === 1 ? 'the only object' : 'all ' + all + ' objects')
    + '. Press “Show all” under “Filter objects” to have ' + (all === 1 ? 'it' : 'them') + ' back.';
}

function tellVisible() {
  const detail = { ids: shown().map((o) => o.id), why: why(), picked: picked && [...picked] };
  document.dispatchEvent(new CustomEvent('dm-visible', { detail }));
}

root.querySelector('.mv-least input').addEventListener('input', (event) => {
  leastScore = Number(event.target.value); applyFilter();
});
find('reset').addEventListener('click', () => { resetFilter(); applyFilter(); find('filter').querySelector('summary').focus(); });
