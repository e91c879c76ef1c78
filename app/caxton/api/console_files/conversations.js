import { make, labelled, table, time } from "./dom.js";
import { sequence } from "./sequence.js";

export const title = id => (id ? `Conversation ${id}` : "Conversations");

const link = id => `#conversations/${encodeURIComponent(id)}`;

const one = (place, session, id, { repeat }) => {
  const picture = make("div", { class: "scroll" });
  const list = table("The messages, oldest first", [
    { title: "At", text: each => time(each.accepted_at) }, { title: "From", text: each => each.sender },
    { title: "To", text: each => each.receiver }, { title: "Says", text: each => each.performative },
    { title: "State", text: each => each.state }, { title: "Content", text: each => JSON.stringify(each.content) },
  ], each => each.message_id);
  place.append(picture, list.element);
  let shown = "";
  return repeat(2, async () => {
    const { messages } = await session.get(`conversations/${encodeURIComponent(id)}?limit=200`);
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
  const submit = event => { event.preventDefault(); location.hash = link(field.value.trim()); };
  const list = table("Conversations that follow a protocol, the newest first", [
    { title: "Conversation", text: each => each.conversation_id, link: each => link(each.conversation_id) },
    { title: "Protocol", text: each => each.protocol }, { title: "State", text: each => each.state },
    { title: "Between", text: each => `${each.initiator} and ${each.participant}` },
    { title: "Steps", text: each => each.steps, number: true }, { title: "Last", text: each => time(each.updated_at) },
  ], each => `${each.conversation_id} ${each.initiator} ${each.participant}`);
  place.append(make("form", { submit }, labelled("Open a conversation by its id", field), make("button", { type: "submit" }, "Open")), list.element);
  return tools.repeat(3, async () => list.update((await session.get("conversations?limit=200")).items));
};
