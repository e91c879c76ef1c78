// Owns the page of all agents: what each does now, and the place to deploy another.

import { make, labelled, bytes, number, panel } from "./dom.js";
import { dropZone } from "./drop.js";
import { Rates, perSecond } from "./rates.js";
import { agentLink } from "./session.js";
import { table } from "./table.js";

export const title = () => "Agents";

const MOST = 1000;
const TONES = { running: "good", deploying: "busy", draining: "busy", stopped: "idle" };

/** How an agent's state looks. */
export const toneOf = status => TONES[status] || "bad";

/** A name as agents have it, of a file's. */
const nameOf = file => file.name.replace(/\.(wasm|wat)$/i, "").toLowerCase()
  .replace(/[^a-z0-9._-]+/g, "-").replace(/^[-._]+|[-._]+$/g, "");

const deployment = (session, { say, failed }) => {
  let module;
  const name = make("input", { required: true, spellcheck: "false", id: "deploy-name" });
  const config = make("textarea", { spellcheck: "false" }, "{}");
  const deploy = make("button", { type: "submit", class: "main", disabled: true }, "Deploy");
  const chosen = make("p", { role: "status", class: "hint" });
  const take = file => {
    module = file;
    chosen.textContent = `${file.name}, ${bytes(file.size)}`;
    name.value ||= nameOf(file);
    deploy.disabled = false;
  };
  const submit = async event => {
    event.preventDefault();
    deploy.disabled = true;
    try {
      const form = new FormData();
      form.append("wasm", module);
      form.append("config", JSON.stringify({ ...JSON.parse(config.value || "{}"), name: name.value }));
      say(`${name.value} is being deployed.`);
      await session.finished("POST", "agents", form);
      say(`${name.value} is deployed.`);
    } catch (error) {
      failed(error);
    }
    deploy.disabled = false;
  };
  return panel("Deploy an agent", make("form", { submit, id: "deploy" },
    dropZone("Drop a module here, or choose one (.wasm, .wat)", take), chosen,
    labelled("Name", name),
    labelled("Configuration (JSON)", config, "As in the manifest of a deployment; {} takes the defaults."), deploy));
};

/** Every agent with what it does per second. */
export const show = (place, session, _, tools) => {
  const rates = new Rates(), now = new Map();
  const rate = which => one => perSecond(now.get(one.name).rate(which));
  const list = table("Renewed every 2 seconds; the curve is done per second in the last minute. The numbers are of the node "
    + "beside the name: an agent with replicas has others elsewhere", [
    { title: "Name", text: one => one.name, link: one => agentLink(one.name) },
    { title: "State", text: one => one.status, tone: one => toneOf(one.status) },
    { title: "Node", text: one => one.node },
    { title: "Version", text: one => one.version, number: true },
    { title: "Accepted/s", text: rate("accepted"), number: true },
    { title: "Done/s", text: rate("done"), number: true },
    { title: "Dead/s", text: rate("dead"), number: true },
    { title: "Last minute", graph: one => now.get(one.name).history },
    { title: "Waiting", text: one => number(one.counters.pending || 0), number: true },
    { title: "Done", text: one => number(one.counters.done || 0), number: true },
    { title: "Dead", text: one => number(one.counters.dead || 0), number: true },
  ], one => one.name, "There are no agents yet.");
  const filter = make("input", { type: "search", spellcheck: "false", id: "agents-filter", input: () => shown() });
  const short = make("p", { class: "hint", hidden: true }, `Only the first ${number(MOST)} agents; the others are not shown.`);
  let items = [];
  const shown = () => list.update(items.filter(one => one.name.includes(filter.value.trim().toLowerCase())));
  place.append(panel("All agents", labelled("Only names with", filter), short, list.element));
  if (session.may("deploy")) place.append(deployment(session, tools));
  return tools.repeat(2, async () => {
    const found = await session.all("agents", MOST);
    items = found.items;
    short.hidden = !found.more;
    for (const one of items) now.set(one.name, rates.look(one, "done"));
    rates.keep(items.map(one => one.name));
    shown();
  });
};
