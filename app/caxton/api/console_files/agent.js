import { make, labelled, table, dropZone, number, pretty, time } from "./dom.js";
import { inPath } from "./session.js";

export const title = name => `Agent ${name}`;

const section = (text, ...children) => make("section", { "aria-label": text }, make("h2", {}, text), ...children);

const invocation = (session, path, { failed }) => {
  const content = make("textarea", { spellcheck: "false", id: "invoke-content" }, '"hello"');
  const answer = make("pre", { role: "status", "aria-label": "Answer", id: "invoke-answer" });
  const button = make("button", { type: "submit" }, "Invoke");
  const submit = async event => {
    event.preventDefault();
    button.disabled = true;
    answer.textContent = "…";
    try {
      answer.textContent = pretty(await session.post(`${path}/invoke`, { content: JSON.parse(content.value) }));
    } catch (error) {
      answer.textContent = error.message;
      failed(error);
    }
    button.disabled = false;
  };
  return section("Invoke", make("form", { submit }, labelled("Content (JSON)", content), button, answer));
};

const update = (session, path, { say, failed }) => section("New version",
  dropZone("Drop a module here, or choose one: it takes over once it runs", async file => {
    try {
      const form = new FormData();
      form.append("wasm", file);
      await session.ask("PUT", path, form);
      say(`${file.name} is deployed.`);
    } catch (error) { failed(error); }
  }));

const switches = (session, path, { say, failed }) => make("p", {}, ...["start", "stop"].map(verb => make("button", {
  type: "button",
  click: () => session.post(`${path}/${verb}`).then(() => say(`Asked to ${verb}.`), failed),
}, verb === "start" ? "Start" : "Stop")));

/** Versions, mailbox, log and executions of one agent; what may be done with it. */
export const show = (place, session, name, tools) => {
  const path = `agents/${inPath(name)}`;
  const facts = make("p"), log = make("pre", { tabindex: "0", "aria-label": "Log" });
  const versions = table("Versions", [
    { title: "Version", text: one => one.version, number: true }, { title: "State", text: one => one.state },
    { title: "Deployed", text: one => time(one.deployed_at) }, { title: "Module", text: one => one.module_sha256.slice(0, 12) },
    { title: "Bytes", text: one => number(one.module_bytes), number: true },
  ], one => one.version);
  const mailbox = table("The latest messages", [
    { title: "Message", text: one => one.message_id }, { title: "State", text: one => one.state },
    { title: "From", text: one => one.sender }, { title: "Says", text: one => one.performative },
    { title: "Content", text: one => JSON.stringify(one.content) },
    { title: "Conversation", text: one => one.conversation_id, link: one => `#conversations/${encodeURIComponent(one.conversation_id)}` },
  ], one => one.message_id);
  const executions = table("The latest executions", [
    { title: "At", text: one => time(one.at) }, { title: "Status", text: one => one.status },
    { title: "Code", text: one => one.code }, { title: "Seconds", text: one => one.duration_seconds.toFixed(4), number: true },
    { title: "Peak bytes", text: one => number(one.peak_memory_bytes), number: true },
  ], one => one.id);
  place.append(facts);
  if (session.may("operate")) place.append(switches(session, path, tools));
  if (session.may("send")) place.append(invocation(session, path, tools));
  if (session.may("deploy")) place.append(update(session, path, tools));
  place.append(section("Versions", versions.element), section("Mailbox", mailbox.element),
    section("Executions", executions.element), section("Log", log));
  return tools.repeat(2, async () => {
    const [agent, kept, messages, runs, lines] = await Promise.all(
      ["", "/versions", "/messages?limit=20", "/executions?limit=20", "/logs?limit=100"].map(end => session.get(path + end)));
    facts.textContent = `${agent.status}${agent.status_reason ? ` (${agent.status_reason})` : ""}, version ${agent.version}, `
      + `on ${agent.node}, ${number(agent.counters.done || 0)} done, ${number(agent.counters.pending || 0)} waiting, `
      + `${number(agent.counters.dead || 0)} dead, ${agent.resources.cpu_seconds.toFixed(3)} s of processor`;
    versions.update(kept.items);
    mailbox.update(messages.items);
    executions.update(runs.items);
    const text = lines.items.map(one => `${one.at} ${one.stream}: ${one.text}`).join("\n");
    if (log.textContent !== text) log.textContent = text;
  });
};
