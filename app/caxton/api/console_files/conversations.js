// Owns the page of conversations: the list of those that follow a protocol, and any one of them as a diagram and a table.

import { make, labelled, panel, time } from "./dom.js";
import { sequence } from "./sequence.js";
import { conversationLink } from "./session.js";
import { table } from "./table.js";

export const title = id => (id ? `Conversation ${id}` : "Conversations");

const MOST = 200;
const TONES = { done: "good", completed: "good", pending: "busy", in_flight: "busy", open: "busy" };
const tone = one => TONES[one.state] || (one.state === "dead" || one.state === "failed" ? "bad" : "idle");

const one = (place, session, id, { repeat }) => {
  const picture = make("div", { class: "scroll" });
  const short = make("p", { class: "hint", hidden: true }, `Only the latest ${MOST} messages; earlier ones are not shown.`);
  const list = table("Oldest first", [
    { title: "At", text: each => time(each.accepted_at), kind: "time" }, { title: "From", text: each => each.sender },
    { title: "To", text: each => each.receiver }, { title: "Says", text: each => each.performative },
    { title: "State", text: each => each.state, tone },
    { title: "Content", text: each => JSON.stringify(each.content), kind: "wide" },
  ], each => each.message_id);
  place.append(short, panel("Who told whom", picture), panel("The messages", list.element));
  let shown = "";
  return repeat(2, async () => {
    const { messages, next_cursor: more } = await session.get(`conversations/${encodeURIComponent(id)}?limit=${MOST}`);
    short.hidden = !more;
    const state = JSON.stringify(messages.map(each => [each.message_id, each.state]));
    if (state === shown) return;
    shown = state;
    picture.replaceChildren(sequence(messages));
    list.update(messages);
  });
};

/** Those that follow a protocol; any other by its id. */
export const show = (place, session, id, tools) => {
  if (id) return one(place, session, id, tools);
  const field = make("input", { required: true, spellcheck: "false" });
  const submit = event => { event.preventDefault(); location.hash = conversationLink(field.value.trim()); };
  const list = table("The newest first", [
    { title: "Conversation", text: each => each.conversation_id, link: each => conversationLink(each.conversation_id), kind: "id" },
    { title: "Protocol", text: each => each.protocol }, { title: "State", text: each => each.state, tone },
    { title: "Between", text: each => `${each.initiator} and ${each.participant}` },
    { title: "Steps", text: each => each.steps, number: true },
    { title: "Last", text: each => time(each.updated_at), kind: "time" },
  ], each => `${each.conversation_id} ${each.initiator} ${each.participant}`, "No conversation follows a protocol yet.");
  const open = make("form", { submit, class: "row" }, labelled("Its id", field), make("button", { type: "submit" }, "Open"));
  place.append(panel("Any conversation", open), panel("Those that follow a protocol", list.element));
  return tools.repeat(3, async () => list.update((await session.get("conversations?limit=200")).items));
};
