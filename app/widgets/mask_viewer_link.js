// The picture and the plots of its objects (joined with mask_viewer_draw.js); what the document's
// events mean is said in plotly_view_link.js.

let told = null; // the selection that others know
let picked = null; // ids that a plot's brush keeps

function tellSelected() {
  if (told === selected) return;
  told = selected;
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
hearOthers('dm-ask', () => { told = undefined; tellSelected(); tellVisible(); });
