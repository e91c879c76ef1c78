// Elements, made one by one. Text that agents or messages brought is only ever a text node here.

const SVG = "http://www.w3.org/2000/svg";

const put = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child !== undefined && child !== null && child !== false));
  return node;
};

/** An element: attributes by name (functions listen), children are nodes or texts. */
export const make = (tag, attributes = {}, ...children) => put(document.createElement(tag), attributes, children);

/** As `make`, of a drawing. */
export const draw = (tag, attributes = {}, ...children) => put(document.createElementNS(SVG, tag), attributes, children);

/** A form's control under its label. */
export const labelled = (text, control) => make("label", {}, text, control);

export const pretty = value => JSON.stringify(value, null, 2);

export const time = text => (text ? new Date(text).toLocaleString() : "–");

export const number = value => (typeof value === "number" ? value.toLocaleString() : "–");

/**
 * A table whose rows stay where they are while their values change, so that the focus does too.
 * columns: {title, text(item), number?, link?(item), state?(item), action?(item, button)}.
 */
export const table = (caption, columns, key) => {
  const body = make("tbody"), rows = new Map();
  const empty = make("p", { hidden: true }, "There is nothing here.");
  const heads = columns.map(one => make("th", { scope: "col", class: one.number && "number" }, one.title));
  const element = make("div", { class: "scroll" },
    make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...heads)), body), empty);

  const cell = (column, item) => {
    const holder = column.link ? make("a", { href: column.link(item) })
      : column.action ? make("button", { type: "button" }) : undefined;
    return make("td", { class: column.number && "number" }, holder);
  };
  const fill = (row, item) => columns.forEach((column, index) => {
    const td = row.children[index], target = td.firstElementChild || td;
    const text = String(column.text(item) ?? "–");
    if (target.textContent !== text) target.textContent = text;
    if (column.action) target.onclick = () => column.action(item, target);
    if (column.state) td.className = column.state(item);
  });
  const update = items => {
    const seen = new Set();
    items.forEach((item, index) => {
      const id = key(item);
      seen.add(id);
      if (!rows.has(id)) rows.set(id, make("tr", {}, ...columns.map(column => cell(column, item))));
      const row = rows.get(id);
      fill(row, item);
      if (body.children[index] !== row) body.insertBefore(row, body.children[index] || null);
    });
    for (const [id, row] of rows) if (!seen.has(id)) { row.remove(); rows.delete(id); }
    empty.hidden = items.length > 0;
  };
  return { element, update };
};

/** Where a module is dropped, or chosen with the keyboard. `take(file)` is called with either. */
export const dropZone = (title, take) => {
  const input = make("input", { type: "file", accept: ".wasm,.wat", change: () => input.files[0] && take(input.files[0]) });
  const zone = make("div", { class: "drop" }, labelled(title, input));
  zone.addEventListener("dragover", event => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", event => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  return zone;
};
