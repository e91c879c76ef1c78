// Owns how elements are made: one by one, and what agents or messages brought only ever as a text node. Must never make
// markup of a text, nor ask the node anything.

const SVG = "http://www.w3.org/2000/svg";

const furnish = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child !== undefined && child !== null && child !== false));
  return node;
};

/** An element: attributes by name (functions listen), children are nodes or texts. */
export const make = (tag, attributes = {}, ...children) => furnish(document.createElement(tag), attributes, children);

/** As `make`, of a drawing. */
export const draw = (tag, attributes = {}, ...children) => furnish(document.createElementNS(SVG, tag), attributes, children);

let made = 0;

/** A part of a page under a heading of its own, and named by it. */
export const panel = (title, ...children) => {
  const id = `part-${made += 1}`;
  return make("section", { class: "panel", "aria-labelledby": id }, make("h2", { id }, title), ...children);
};

/** A form's control under its label; `hint` is said after it. */
export const labelled = (text, control, hint) => {
  if (!hint) return make("label", {}, text, control);
  const id = `hint-${made += 1}`;
  control.setAttribute("aria-describedby", id);
  return make("div", { class: "field" }, make("label", {}, text, control), make("p", { class: "hint", id }, hint));
};

/** What happens at a press. Waits for what `press()` promises, and cannot be pressed twice meanwhile. */
export const button = (text, press, attributes = {}) => {
  const click = async () => {
    if (element.hasAttribute("aria-disabled")) return;
    element.setAttribute("aria-disabled", "true"); // not `disabled`: the focus stays where it is
    try { await press(); } finally { element.removeAttribute("aria-disabled"); }
  };
  const element = make("button", { type: "button", click, ...attributes }, text);
  return element;
};

/** What is seen of a tone beside its colour. */
export const SHAPES = { good: "●", busy: "◐", idle: "○", bad: "▲" };

/** A state: its word, and beside the colour a shape. `tone`: good, busy, idle or bad. */
export const state = (word, tone) => make("span", { class: `state ${tone}` },
  make("span", { class: "shape", "aria-hidden": "true" }, SHAPES[tone]), word);

/** Puts a state into `place`, unless it is there: a screen reader that reads there is not sent back to its beginning. */
export const put = (place, word, tone) => {
  const now = `${tone} ${word}`;
  if (place.dataset.state === now) return;
  place.dataset.state = now;
  place.replaceChildren(state(word, tone));
};

/** Facts under their names, in one row. `update(values)` in the order of the names; a value is a text or a node. */
export const facts = names => {
  const values = names.map(() => make("dd"));
  const pair = (name, at) => make("div", {}, make("dt", {}, name), values[at]);
  const element = make("dl", { class: "facts" }, ...names.map(pair));
  const update = found => found.forEach((value, at) => {
    const text = value instanceof Node ? value.textContent : String(value ?? "–");
    if (values[at].textContent !== text) values[at].replaceChildren(value instanceof Node ? value : text);
  });
  return { element, update };
};

export const pretty = value => JSON.stringify(value, null, 2);

/** The local time as `2030-01-31 17:04:05`, which sorts and which nobody misreads. */
export const time = text => (text ? new Date(text).toLocaleString("sv-SE") : "–");

export const number = value => (typeof value === "number" ? value.toLocaleString() : "–");

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes for people: 1536 is `1.5 KiB`. */
export const bytes = value => {
  if (typeof value !== "number") return "–";
  const step = Math.min(UNITS.length - 1, value < 1 ? 0 : Math.floor(Math.log2(value) / 10));
  return `${(value / 1024 ** step).toFixed(step ? 1 : 0)} ${UNITS[step]}`;
};

/** The beginning of an id that nobody reads whole; where it leads it stands whole. */
export const brief = id => (id.length > 20 ? `${id.slice(0, 8)}…` : id);

/** `1 agent`, `2 agents`. */
export const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
