import { table, time } from "./dom.js";
import { inPath } from "./session.js";

export const title = () => "Dead letters";

const reason = one => {
  const last = (one.attempts || []).at(-1);
  return last ? `${last.code}${last.detail ? `: ${last.detail}` : ""}` : one.error ? `${one.error.code}: ${one.error.message}` : "";
};

/** What could not be done, why, and the way back into a mailbox. */
export const show = (place, session, _, { say, failed, repeat }) => {
  let renew = async () => {};
  const replay = async (one, button) => {
    button.disabled = true;
    try {
      await session.post(`dead-letters/${one.message_id}/replay`);
      say(`${one.message_id} is back in the mailbox of ${one.receiver}.`);
      await renew();
    } catch (error) { failed(error); }
    button.disabled = false;
  };
  const columns = [
    { title: "Message", text: one => one.message_id }, { title: "Agent", text: one => one.receiver, link: one => `#agent/${inPath(one.receiver)}` },
    { title: "Since", text: one => time(one.finished_at || one.accepted_at) }, { title: "Why", text: reason },
    { title: "Content", text: one => JSON.stringify(one.content) },
    { title: "Conversation", text: one => one.conversation_id, link: one => `#conversations/${encodeURIComponent(one.conversation_id)}` },
  ];
  if (session.may("operate")) columns.push({ title: "Replay", text: () => "Replay", action: replay });
  const list = table("The latest 200", columns, one => one.message_id);
  place.append(list.element);
  renew = async () => list.update((await session.get("dead-letters?limit=200")).items);
  return repeat(3, () => renew());
};
