import { make, labelled } from "./dom.js";
import { follow } from "./live.js";

export const title = () => "Events";

const MOST = 500;

/** What happens, as it happens. */
export const show = (place, session) => {
  const field = make("input", { value: "*", spellcheck: "false" });
  const state = make("p", { role: "status", id: "live" }, "Connecting…");
  const list = make("ol", { class: "log mono", role: "log", "aria-label": "Events", tabindex: "0" });
  const told = event => {
    list.prepend(make("li", {}, `${event.at} ${event.type} ${JSON.stringify(event.data)}`));
    while (list.children.length > MOST) list.lastElementChild.remove();
  };
  let end = () => {};
  const begin = () => {
    end();
    list.replaceChildren();
    const globs = field.value.split(",").map(one => one.trim()).filter(Boolean);
    end = follow(session, globs.length ? globs : ["*"], told, text => { state.textContent = text; });
  };
  const submit = event => { event.preventDefault(); begin(); };
  place.append(make("form", { submit }, labelled("Types (globs, with commas: agent.*, message.dead)", field), make("button", { type: "submit" }, "Follow")), state, list);
  begin();
  return () => end();
};
