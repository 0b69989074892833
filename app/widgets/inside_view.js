// Body of a function with element, trigger, props, watch: see Gradio's "custom HTML components".
// Asks for an object's pictures only while the section is open; words are set as text.
const root = element.querySelector('.iv');
const note = root.querySelector('.iv-note'), parts = root.querySelector('.iv-parts');
const PAUSE = 150; // ms; arrow keys that run through the objects ask for the last one only
let wanted = null; // id of the object that is selected in the picture
let open = false, pending = false, latest = 0, timer = 0;

const make = (tag, name, words) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (words !== undefined) node.textContent = words;
  return node;
};

function say(words, busy = false) {
  note.textContent = words;
  note.hidden = !words;
  root.dataset.busy = String(busy);
}

function clear() {
  parts.replaceChildren();
  root.dataset.ready = 'false'; root.dataset.id = '';
  say(props.nothing);
}

function ask() {
  clearTimeout(timer);
  if (wanted === null) { pending = false; clear(); return; }
  pending = !open;
  if (!open) { parts.replaceChildren(); root.dataset.ready = 'false'; return; }
  root.dataset.ready = 'false';
  say(props.busy, true);
  timer = setTimeout(() => trigger('select', { id: wanted }), PAUSE);
}

function picture(image, smooth) {
  const figure = make('figure'), img = make('img', smooth ? 'smooth' : '');
  img.src = image.url;
  img.alt = image.caption;
  figure.append(img, make('figcaption', '', image.caption));
  return figure;
}

function update() {
  const value = props.value;
  if (!value || value.seq < latest) return;
  latest = value.seq;
  if (value.id !== wanted) return; // another object has been selected meanwhile
  root.style.setProperty('--iv-aspect', String(value.aspect || 1));
  parts.replaceChildren(...(value.parts || []).map((part) => {
    const box = make('div', 'iv-part'), row = make('div', 'iv-row');
    box.dataset.testid = 'inside-' + part.kind;
    row.dataset.count = String(part.pictures.length);
    row.append(...part.pictures.map((image) => picture(image, part.kind === 'offsets')));
    box.append(make('h4', '', part.title), make('p', '', part.about), row);
    return box;
  }));
  say(value.problem || value.title || '');
  root.dataset.id = String(value.id);
  root.dataset.ready = String(!value.problem);
}

const hear = (event) => {
  if (!root.isConnected) { document.removeEventListener('dm-select', hear); return; }
  // it is also told when the selected object has another box or name
  const from = event.detail && event.detail.source;
  if (from && from.classList.contains('mv')) { wanted = event.detail.id; ask(); }
};
document.addEventListener('dm-select', hear);
new ResizeObserver(() => {
  open = root.clientWidth > 0;
  if (open && pending) ask();
}).observe(root);
watch('value', update);
clear();
document.dispatchEvent(new CustomEvent('dm-ask', { detail: { source: root } }));
