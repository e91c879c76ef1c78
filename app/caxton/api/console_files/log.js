// Owns an agent's log, followed as it is written. A connection that is lost is made again, and shows the last lines anew.
// Only who is looking has one: a browser has six for each node, and six pages in the background would leave none.

import { make, button, panel, time } from "./dom.js";

const FIRST = 100, MOST = 1000, RETRY_MILLISECONDS = 2000;

/** Of the agent at `path`. `end` stops following. */
export const log = (session, path, { failed }) => {
  const list = make("div", { class: "log mono", role: "log", "aria-live": "off", "aria-label": "Log", tabindex: "0" });
  const word = make("p", { class: "hint" }, "Connecting…"), empty = make("p", { class: "hint" }, "It has not written anything.");
  let stop, timer, follows = true;
  const toggle = button("Stay here", () => {
    follows = !follows;
    toggle.textContent = follows ? "Stay here" : "Go to the end";
    if (follows) list.scrollTop = list.scrollHeight;
  });
  const take = line => {
    empty.hidden = true;
    const tone = line.stream === "stderr" ? "bad" : "";
    list.append(make("div", { class: tone }, make("time", {}, time(line.at)), ` ${line.stream} ${line.text}`));
    while (list.children.length > MOST) list.firstElementChild.remove();
    if (follows) list.scrollTop = list.scrollHeight;
  };
  const follow = async () => {
    const { signal } = stop = new AbortController();
    list.replaceChildren();
    word.textContent = "New lines appear as they are written.";
    try {
      await session.lines(`${path}/logs?limit=${FIRST}&follow=true`, take, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) { failed(error); return; }
      word.textContent = `Not followed now: ${error.message}`;
    }
    if (!signal.aborted) timer = setTimeout(follow, RETRY_MILLISECONDS);
  };
  const leave = () => { clearTimeout(timer); stop?.abort(); };
  const look = () => { leave(); if (!document.hidden) follow(); };
  document.addEventListener("visibilitychange", look);
  look();
  const end = () => { document.removeEventListener("visibilitychange", look); leave(); };
  return { element: panel("Log", word, empty, list, toggle), end };
};
