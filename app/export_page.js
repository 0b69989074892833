(() => {
  "use strict";
  const boxes = [...document.querySelectorAll("input[data-toggle]")];
  const mask = (id) => document.querySelector(`g[data-object="${Number(id)}"]`);
  const apply = (box) => mask(box.dataset.toggle)?.toggleAttribute("hidden", !box.checked);
  const setAll = (on) => boxes.forEach((box) => { box.checked = on; apply(box); });
  boxes.forEach((box) => { box.addEventListener("change", () => apply(box)); apply(box); });
  document.getElementById("all")?.addEventListener("click", () => setAll(true));
  document.getElementById("none")?.addEventListener("click", () => setAll(false));
  const fill = document.getElementById("fill");
  const fills = () => document.body.classList.toggle("lines", !fill.checked);
  if (fill) { fill.addEventListener("change", fills); fills(); }
  for (const row of document.querySelectorAll("tr[data-row]")) {
    const heat = (on) => () => mask(row.dataset.row)?.classList.toggle("hot", on);
    row.addEventListener("mouseenter", heat(true));
    row.addEventListener("mouseleave", heat(false));
  }
})();
