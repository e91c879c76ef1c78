// Owns the drawing of the cluster: nodes on a circle, and how the node that answers reaches each of the others. The list
// below it says the same in words. Must never ask the node.

import { draw, SHAPES } from "./dom.js";

const BOX = { width: 176, height: 56 }, RADIUS = { x: 270, y: 120 };
const LINKS = { direct: "direct", relay: "relayed", none: "cut" };

/** How well a node is, in words and as a tone. */
export const health = member => {
  const { state, path } = member;
  if (path === "none" && state !== "left") return [`${state}, cut off`, "bad"];
  return [state, { active: "good", draining: "busy", left: "idle" }[state] || "bad"];
};

/** How this node reaches another, in words. */
export const way = member => {
  if (member.path === "self") return "this node";
  if (member.path === "relay") return `relayed${member.relays?.length ? ` by ${member.relays.join(" or ")}` : ""}`;
  const seconds = member.path === "direct" ? member.rtt_seconds : null;
  return (LINKS[member.path] || member.path) + (typeof seconds === "number" ? `, ${(seconds * 1000).toFixed(1)} ms` : "");
};

const places = (members, here) => {
  const ordered = [...members.filter(one => one.node_id === here), ...members.filter(one => one.node_id !== here)];
  const first = ordered.length === 2 ? Math.PI : -Math.PI / 2;
  const [rx, ry] = ordered.length === 1 ? [0, 0] : ordered.length === 2 ? [RADIUS.x, 0] : [RADIUS.x, RADIUS.y];
  return new Map(ordered.map((member, at) => {
    const angle = first + at * 2 * Math.PI / ordered.length;
    return [member.node_id, { x: rx * Math.cos(angle), y: ry * Math.sin(angle) }];
  }));
};

const link = (member, from, to) => {
  const at = { x: from.x + (to.x - from.x) * 0.5, y: from.y + (to.y - from.y) * 0.5 };
  return draw("g", { class: `link ${member.path}`, "data-node": member.node_id },
    draw("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y }),
    member.path === "none" && draw("path", { class: "cross", d: `M${at.x - 7} ${at.y - 7} l14 14 m0 -14 l-14 14` }),
    draw("text", { x: at.x, y: at.y - 12, "text-anchor": "middle" }, way(member)));
};

const detour = (relay, from, to) =>
  draw("line", { class: "detour", x1: from.x, y1: from.y, x2: to.x, y2: to.y, "data-relay": relay });

const box = (member, here, { x, y }, count) => {
  const [word, tone] = health(member), transform = `translate(${x - BOX.width / 2} ${y - BOX.height / 2})`;
  return draw("g", { class: `node ${tone}`, "data-node": member.node_id, transform },
    draw("rect", { width: BOX.width, height: BOX.height, rx: 7 }),
    draw("text", { class: "name", x: 12, y: 23 }, member.node_id + (member.node_id === here ? " (this node)" : "")),
    draw("text", { class: "health", x: 12, y: 43 }, `${SHAPES[tone]} ${word}`),
    member.path !== "none" && draw("text", { x: BOX.width - 12, y: 43, "text-anchor": "end" }, count));
};

/** What is drawn, as SVG says it: left, top, width and height. */
const extent = points => {
  const pad = { x: BOX.width / 2 + 4, y: BOX.height / 2 + 12 };
  const [left, right] = [Math.min, Math.max].map(end => end(...points.map(one => one.x)));
  const [top, bottom] = [Math.min, Math.max].map(end => end(...points.map(one => one.y)));
  return [left - pad.x, top - pad.y, right - left + 2 * pad.x, bottom - top + 2 * pad.y];
};

/** The map of a `ClusterView`; `count(node_id)` is what to say of the agents there. */
export const map = (view, count) => {
  const { node_id: here, members } = view, place = places(members, here), own = place.get(here);
  const others = members.filter(one => one.node_id !== here);
  const frame = extent([...place.values()]);
  const detours = others.flatMap(one => (one.path === "relay" ? one.relays || [] : [])
    .filter(relay => place.has(relay)).map(relay => detour(relay, place.get(relay), place.get(one.node_id))));
  const words = others.map(one => `${one.node_id} ${health(one)[0]}, ${way(one)}`).join("; ");
  return draw("svg", { class: "map", role: "img", width: frame[2], height: frame[3], viewBox: frame.join(" "),
    "aria-label": `${members.length === 1 ? "One node" : `${members.length} nodes`}: ${here}${words ? `; ${words}` : ""}` },
    draw("g", { "aria-hidden": "true" }, ...detours, ...others.map(one => link(one, own, place.get(one.node_id))),
      ...members.map(one => box(one, here, place.get(one.node_id), count(one.node_id)))));
};
