// The picture and the plots of its objects (joined with mask_viewer_draw.js); what the document's
// events mean is said in plotly_view_link.js.

let told = ''; // the selection that others know
let picked = null; // ids that a plot's brush keeps

function tellSelected() { // also when the selected object has moved or is called something else
  const object = byId.get(selected);
  const now = object ? [view.key, selected, object.box, object.name].join() : '';
  if (told === now) return;
  told = now;
  document.dispatchEvent(new CustomEvent('dm-select', { detail: { id: selected, source: root } }));
}

function hearOthers(name, handle) {
  const listener = (event) => {
    if (!root.isConnected) document.removeEventListener(name, listener);
    else if (view && event.detail && event.detail.source !== root) handle(event.detail);
  };
  document.addEventListener(name, listener);
}

hearOthers('dm-select', ({ id }) => {
  if (id !== selected && (id === null || isShown(byId.get(id)))) select(id);
});
hearOthers('dm-pick', ({ ids }) => {
  const all = !Array.isArray(ids);
  if (all && !picked) return;
  picked = all ? null : new Set(ids);
  applyFilter();
});
hearOthers('dm-ask', () => { told = null; tellSelected(); tellVisible(); });
