// Owns the page of one agent: its facts, versions, mailbox and executions, and what may be done with it.

import { make, brief, button, bytes, facts, number, panel, state, time } from "./dom.js";
import { confirmed } from "./confirm.js";
import { dropZone } from "./drop.js";
import { invocation } from "./invoke.js";
import { log } from "./log.js";
import { Rates, perSecond } from "./rates.js";
import { conversationLink, inPath } from "./session.js";
import { table } from "./table.js";
import { toneOf } from "./agents.js";

export const title = name => `Agent ${name}`;

const SHOWN = 10;
const TONES = { done: "good", pending: "busy", in_flight: "busy", ok: "good" };
const VERSIONS = { current: "good", candidate: "busy" };
const tone = word => TONES[word] || "bad";

const update = (session, path, { say, failed }) => panel("New version",
  dropZone("Drop a module here, or choose one (.wasm, .wat)", async file => {
    try {
      const form = new FormData();
      form.append("wasm", file);
      say(`${file.name} is being deployed.`);
      await session.finished("PUT", path, form);
      say(`${file.name} is deployed.`);
    } catch (error) { failed(error); }
  }),
  make("p", { class: "hint" }, "The version before serves until the new one runs."));

const switches = (session, path, { say, failed }) => make("div", { class: "actions" }, ...["start", "stop"].map(verb =>
  button(verb === "start" ? "Start" : "Stop", () => session.post(`${path}/${verb}`).then(() => say(`Asked to ${verb}.`), failed))));

const rollback = async (session, path, name, { version }, { say, failed }) => {
  const words = `Version ${version} serves again, with the configuration it had. Nothing is compiled.`;
  if (!await confirmed(`Back to version ${version} of ${name}?`, words, "Roll back")) return;
  await session.post(`${path}/rollback`, { version }).then(() => say(`${name} is back at version ${version}.`), failed);
};

const changes = (session, path, name, tools) => one => (one.state === "current" ? [] : [{
  text: "Roll back", label: `Roll back to version ${one.version}`, press: () => rollback(session, path, name, one, tools) }]);

const versionTable = (session, path, name, tools) => table("The last ten, newest first", [
  { title: "Version", text: one => one.version, number: true },
  { title: "State", text: one => one.state, tone: one => VERSIONS[one.state] || "idle" },
  { title: "Deployed", text: one => time(one.deployed_at), kind: "time" },
  { title: "Module", text: one => one.module_sha256.slice(0, 12), kind: "code" },
  { title: "Size", text: one => bytes(one.module_bytes), number: true },
  ...(session.may("deploy") ? [{ title: "Change", actions: changes(session, path, name, tools) }] : []),
], one => one.version);

const mailboxTable = () => table(`The latest ${SHOWN} messages`, [
  { title: "Accepted", text: one => time(one.accepted_at), kind: "time" },
  { title: "State", text: one => one.state, tone: one => tone(one.state) },
  { title: "From", text: one => one.sender }, { title: "Says", text: one => one.performative },
  { title: "Content", text: one => JSON.stringify(one.content), kind: "wide" },
  { title: "Conversation", text: one => brief(one.conversation_id), link: one => conversationLink(one.conversation_id), kind: "code" },
], one => one.message_id);

const executionTable = recorded => table(`The latest ${SHOWN}`, [
  { title: "At", text: one => time(one.at), kind: "time" },
  { title: "Status", text: one => (one.code ? `${one.status}: ${one.code}` : one.status), tone: one => tone(one.status) },
  { title: "Took", text: one => `${(one.duration_seconds * 1000).toFixed(1)} ms`, number: true },
  { title: "Processor", text: one => `${(one.cpu_seconds * 1000).toFixed(1)} ms`, number: true },
  { title: "Peak memory", text: one => bytes(one.peak_memory_bytes), number: true },
  { title: "Replay with", text: one => (recorded().has(one.id) ? `caxton replay ${one.id}` : "not recorded"), kind: "code" },
], one => one.id);

/** Versions, mailbox, log and executions of one agent; what may be done with it. */
export const show = (place, session, name, tools) => {
  const path = `agents/${inPath(name)}`, rates = new Rates();
  let recordings = new Set();
  const known = facts(["State", "Version", "Node", "Done/s", "Dead/s", "Waiting", "Done", "Dead", "Processor", "Peak memory"]);
  const versions = versionTable(session, path, name, tools), mailbox = mailboxTable();
  const executions = executionTable(() => recordings);
  const lines = log(session, path, tools);
  const side = [session.may("send") && invocation(session, path, tools),
    session.may("deploy") && update(session, path, tools)].filter(Boolean);
  place.append(
    make("section", { class: "panel", "aria-label": "State" }, known.element,
      session.may("operate") && switches(session, path, tools)),
    make("div", { class: side.length ? "columns" : "" },
      make("div", {}, panel("Mailbox", mailbox.element), panel("Executions", executions.element),
        panel("Versions", versions.element)),
      side.length ? make("div", {}, ...side) : ""),
    lines.element);
  const end = tools.repeat(2, async () => {
    const asked = ["", "/versions", `/messages?limit=${SHOWN}`, `/executions?limit=${SHOWN}`, "/recordings?limit=200"];
    const [agent, kept, messages, runs, held] = await Promise.all(asked.map(rest => session.get(path + rest)));
    recordings = new Set(held.items.map(one => one.execution));
    const { rate } = rates.look(agent, "done");
    const word = agent.status + (agent.status_reason ? ` (${agent.status_reason})` : "");
    known.update([state(word, toneOf(agent.status)), agent.version, agent.node, perSecond(rate("done")), perSecond(rate("dead")),
      number(agent.counters.pending || 0), number(agent.counters.done || 0), number(agent.counters.dead || 0),
      `${agent.resources.cpu_seconds.toFixed(3)} s`, bytes(agent.resources.peak_memory_bytes)]);
    versions.update(kept.items);
    mailbox.update(messages.items);
    executions.update(runs.items);
  });
  return () => { end(); lines.end(); };
};
