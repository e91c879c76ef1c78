// Owns the page of dead letters: why each died, the way back into a mailbox, and the end of those that nobody needs.

import { make, button, counted, labelled, panel, time } from "./dom.js";
import { confirmed } from "./confirm.js";
import { agentLink, conversationLink } from "./session.js";
import { table } from "./table.js";

export const title = () => "Dead letters";

const MOST = 200;

const reason = one => {
  const last = (one.attempts || []).at(-1);
  if (last) return last.detail ? `${last.code}: ${last.detail}` : last.code;
  return one.error ? `${one.error.code}: ${one.error.message}` : "";
};

const GONE = "It is forgotten for good, with its content. The counters stay as they are.";

/** What may be done with one letter: each says what came of it, and has the list renewed. */
const deeds = (session, done) => one => {
  const id = one.message_id, path = `dead-letters/${id}`;
  const replay = () => done(session.post(`${path}/replay`), () => `${id} is back in the mailbox of ${one.receiver}.`);
  const skip = () => done(session.post(`${path}/skip`), () => `The conversation ${one.conversation_id} goes on without ${id}.`);
  const purge = async () => {
    if (!await confirmed(`Purge ${id}?`, GONE, "Purge")) return;
    await done(session.post("dead-letters/purge", { message_ids: [id] }), () => `${id} is gone.`);
  };
  return [
    { text: "Replay", label: `Replay ${id}`, press: replay },
    ...(one.holds_conversation ? [{ text: "Skip", label: `Skip ${id}`, press: skip }] : []),
    { text: "Purge", label: `Purge ${id}`, press: purge },
  ];
};

const purgeAll = async (session, agent, done) => {
  const whose = agent ? `of ${agent}` : "of all agents in reach";
  const words = `All dead letters ${whose} are forgotten for good, also those that are not shown here.`;
  if (!await confirmed(`Purge all dead letters ${whose}?`, words, "Purge all")) return;
  const asked = session.post("dead-letters/purge", agent ? { agent } : { everything: true });
  await done(asked, ({ count }) => `${counted(count, "dead letter")} purged.`);
};

const replayAll = (session, agent, done) =>
  done(session.post("dead-letters/replay", { agent }), ({ count }) => `${counted(count, "dead letter")} of ${agent} replayed.`);

/** The latest of all agents, or of one. */
export const show = (place, session, _, { say, failed, repeat }) => {
  const filter = make("input", { spellcheck: "false", id: "dead-agent" });
  const agent = () => filter.value.trim();
  const renew = async () => {
    const only = agent() && `&agent=${encodeURIComponent(agent())}`;
    list.update((await session.get(`dead-letters?limit=${MOST}${only}`)).items);
  };
  const done = async (asked, words) => {
    try {
      say(words(await asked));
      await renew();
    } catch (error) { failed(error); }
  };
  const list = table(`The latest ${MOST}`, [
    { title: "Since", text: one => time(one.finished_at || one.accepted_at), kind: "time" },
    { title: "Agent", text: one => one.receiver, link: one => agentLink(one.receiver) },
    { title: "Why", text: reason, kind: "wide" },
    { title: "Content", text: one => JSON.stringify(one.content), kind: "wide" },
    { title: "Conversation", text: one => one.conversation_id + (one.holds_conversation ? " (waits for it)" : ""),
      link: one => conversationLink(one.conversation_id), kind: "id" },
    { title: "Message", text: one => one.message_id, kind: "id" },
    ...(session.may("operate") ? [{ title: "What to do", actions: deeds(session, done) }] : []),
  ], one => one.message_id, "There are no dead letters.");
  const submit = event => { event.preventDefault(); renew().catch(failed); };
  const replay = async () => {
    if (agent()) { await replayAll(session, agent(), done); return; }
    say("Name the agent first.", true);
    filter.focus();
  };
  const offered = session.may("operate") ? [button("Replay all of the agent", replay),
    button("Purge all", () => purgeAll(session, agent(), done), { class: "danger", id: "purge-all" })] : [];
  place.append(panel("Letters", make("form", { submit, class: "row" },
    labelled("Only of the agent", filter), make("button", { type: "submit" }, "Show"), ...offered), list.element));
  return repeat(3, renew);
};
