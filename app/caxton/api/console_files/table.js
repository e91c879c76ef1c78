// Owns tables whose rows stay where they are while their values change, so that the focus does too. Must never ask the
// node, nor sort: rows come in the order in which they are to stand.

import { make, button, put } from "./dom.js";
import { curve, trace } from "./rates.js";

const cell = column =>
  make("td", { class: column.number ? "number" : column.kind }, column.link && make("a"), column.graph && curve());

const offers = (td, column, item) => {
  const wanted = column.actions(item);
  const words = wanted.map(one => one.text).join("|");
  if (td.dataset.offers === words) return;
  td.dataset.offers = words;
  const buttons = wanted.map(one => button(one.text, one.press, { "aria-label": one.label }));
  td.replaceChildren(make("div", { class: "actions" }, ...buttons));
};

const fill = (td, column, item) => {
  if (column.actions) { offers(td, column, item); return; }
  if (column.graph) { trace(td.firstElementChild, column.graph(item)); return; }
  const text = String(column.text(item) ?? "–");
  if (column.link) td.firstElementChild.href = column.link(item);
  const target = column.link ? td.firstElementChild : td;
  if (column.tone) put(target, text, column.tone(item));
  else if (target.textContent !== text) target.textContent = text;
};

/**
 * columns: {title, text(item), number?, kind?: time, id, code or wide, link?(item), tone?(item),
 * graph?(item): numbers, actions?(item): [{text, label, press()}]}. `key(item)` tells rows apart. `nothing` is said
 * where there are no rows.
 */
export const table = (caption, columns, key, nothing = "There is nothing here.") => {
  const body = make("tbody"), rows = new Map();
  const empty = make("p", { class: "hint", hidden: true }, nothing);
  const heads = columns.map(one => make("th", { scope: "col", class: one.number && "number" }, one.title));
  const element = make("div", { class: "scroll" },
    make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...heads)), body), empty);
  const update = items => {
    const wanted = new Set(items.map(key));
    for (const [id, row] of rows) if (!wanted.has(id)) { row.remove(); rows.delete(id); } // first: else all below would move
    items.forEach((item, index) => {
      const id = key(item);
      if (!rows.has(id)) rows.set(id, make("tr", {}, ...columns.map(cell)));
      const row = rows.get(id);
      columns.forEach((column, at) => fill(row.children[at], column, item));
      if (body.children[index] !== row) body.insertBefore(row, body.children[index] || null);
    });
    empty.hidden = items.length > 0;
  };
  return { element, update };
};
