import { make, labelled, table, dropZone, number } from "./dom.js";
import { inPath } from "./session.js";

export const title = () => "Agents";

/** A name as agents have it, of a file's. */
const nameOf = file => file.name.replace(/\.(wasm|wat)$/i, "").toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[-._]+|[-._]+$/g, "");

const deployment = (session, { say, failed }) => {
  let module;
  const name = make("input", { required: true, spellcheck: "false", id: "deploy-name" });
  const config = make("textarea", { spellcheck: "false" }, "{}");
  const button = make("button", { type: "submit", disabled: true }, "Deploy");
  const chosen = make("p", { role: "status" });
  const take = file => {
    module = file;
    chosen.textContent = `${file.name}, ${number(file.size)} bytes`;
    name.value ||= nameOf(file);
    button.disabled = false;
  };
  const submit = async event => {
    event.preventDefault();
    button.disabled = true;
    try {
      const form = new FormData();
      form.append("wasm", module);
      form.append("config", JSON.stringify({ ...JSON.parse(config.value || "{}"), name: name.value }));
      await session.ask("POST", "agents", form);
      say(`${name.value} is deployed.`);
    } catch (error) {
      failed(error);
    }
    button.disabled = false;
  };
  return make("section", { "aria-label": "Deploy an agent" }, make("h2", {}, "Deploy an agent"),
    make("form", { submit, id: "deploy" }, dropZone("Drop a module here, or choose one (.wasm, .wat)", take), chosen,
      labelled("Name", name), labelled("Configuration (JSON)", config), button));
};

/** Every agent with what it does per second. */
export const show = (place, session, _, tools) => {
  const before = new Map();
  const rate = item => {
    const now = performance.now(), done = item.counters.done || 0, last = before.get(item.name);
    before.set(item.name, { now, done });
    return last && now > last.now ? ((done - last.done) * 1000 / (now - last.now)).toFixed(1) : "–";
  };
  const list = table("Agents of this node, renewed every 2 seconds", [
    { title: "Name", text: one => one.name, link: one => `#agent/${inPath(one.name)}` },
    { title: "State", text: one => one.status, state: one => (one.status === "running" ? "good" : one.status === "stopped" ? "" : "bad") },
    { title: "Version", text: one => one.version, number: true },
    { title: "Done per second", text: rate, number: true },
    { title: "Done", text: one => number(one.counters.done || 0), number: true },
    { title: "Waiting", text: one => number(one.counters.pending || 0), number: true },
    { title: "Dead", text: one => number(one.counters.dead || 0), number: true },
    { title: "Node", text: one => one.node },
  ], one => one.name);
  place.append(list.element);
  if (session.may("deploy")) place.append(deployment(session, tools));
  return tools.repeat(2, async () => {
    const items = [];
    let cursor = "";
    do {
      const page = await session.get(`agents?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      items.push(...page.items);
      cursor = page.next_cursor || "";
    } while (cursor && items.length < 1000);
    list.update(items);
  });
};
