// Owns the drawing of a conversation as a sequence diagram. The table below it says the same to those who do not see it.

import { draw } from "./dom.js";

const WIDTH = 190, ROW = 44, TOP = 46, MARGIN = 80, LONGEST = 24;

const short = text => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);

const arrow = (message, x1, x2, y) => {
  const way = x2 < x1 ? -1 : 1;
  const line = x1 === x2 ? draw("path", { d: `M${x1} ${y} h30 v14 h-24` }) : draw("line", { x1, y1: y, x2: x2 - 6 * way, y2: y });
  const [tip, height] = x1 === x2 ? [x1, y + 14] : [x2, y], back = x1 === x2 ? 8 : -8 * way;
  const middle = x1 === x2 ? x1 + 34 : (x1 + x2) / 2;
  return draw("g", { class: message.state === "dead" && "dead" },
    line, draw("path", { class: "head", d: `M${tip} ${height} l${back} -4 v8 z` }),
    draw("text", { x: middle, y: y - 6, "text-anchor": x1 === x2 ? "start" : "middle" },
      short(message.performative) + (message.state === "done" ? "" : ` (${message.state})`)),
    draw("title", {}, `${message.sender} to ${message.receiver}: ${message.performative} ${JSON.stringify(message.content)}`));
};

/** The drawing of messages in their order. */
export const sequence = messages => {
  const parties = [...new Set(messages.flatMap(one => [one.sender, one.receiver]))];
  const place = new Map(parties.map((name, index) => [name, MARGIN + index * WIDTH]));
  const width = MARGIN * 2 + Math.max(0, parties.length - 1) * WIDTH, height = TOP + (messages.length + 1) * ROW;
  const lives = parties.flatMap(name => {
    const x = place.get(name);
    return [draw("line", { class: "life", x1: x, y1: 32, x2: x, y2: height - 8 }),
      draw("rect", { x: x - 74, y: 6, width: 148, height: 26, rx: 4 }),
      draw("text", { x, y: 23, "text-anchor": "middle" }, short(name))];
  });
  const steps = messages.map((one, index) =>
    arrow(one, place.get(one.sender), place.get(one.receiver), TOP + (index + 1) * ROW - 12));
  return draw("svg", { class: "sequence", role: "img", width, height, viewBox: `0 0 ${width} ${height}`,
    "aria-label": `${messages.length} messages between ${parties.join(", ")}` }, ...lives, ...steps);
};
