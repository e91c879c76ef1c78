// Owns the page of events: what happens, as it happens, the latest first.

import { make, button, labelled, panel, time } from "./dom.js";
import { follow } from "./live.js";

export const title = () => "Events";

const MOST = 500;
const BAD = /(dead|failed|expired|quarantined|refused|lost|undeliverable|missed)$/;

const line = event => make("li", { class: BAD.test(event.type) ? "bad" : "" },
  make("time", { datetime: event.at }, time(event.at)), " ", make("strong", {}, event.type), ` ${JSON.stringify(event.data)}`);

/** What happens, as it happens; what comes while it is held is shown afterwards. */
export const show = (place, session, _, { failed }) => {
  const field = make("input", { value: "*", spellcheck: "false", id: "event-types" });
  const state = make("p", { role: "status", id: "live" }, "Connecting…");
  const list = make("ol", { class: "log mono", role: "log", "aria-label": "Events", tabindex: "0" });
  let end = () => {}, held;
  const add = item => {
    list.prepend(item);
    while (list.children.length > MOST) list.lastElementChild.remove();
  };
  const take = item => { if (held) held = [...held, item].slice(-MOST); else add(item); };
  const told = event => take(line(event));
  const moved = node => take(make("li", {}, `From here on: what happens on ${node}.`));
  const hold = button("Hold", () => {
    const waiting = held || [];
    held = held ? undefined : [];
    hold.textContent = held ? "Go on" : "Hold";
    waiting.forEach(add);
  });
  const begin = () => {
    end();
    list.replaceChildren();
    const globs = field.value.split(",").map(one => one.trim()).filter(Boolean);
    const changed = text => { state.textContent = text; };
    end = follow(session, globs.length ? globs : ["*"], { told, moved, state: changed, refused: failed });
  };
  const submit = event => { event.preventDefault(); begin(); };
  const form = make("form", { submit, class: "row" }, labelled("Types (globs, with commas: agent.*, message.dead)", field),
    make("button", { type: "submit" }, "Follow"), hold);
  place.append(panel("What happens", form, state, list));
  begin();
  return () => end();
};
