import { make, table, number } from "./dom.js";

export const title = () => "Ledger";

const STATES = ["accepted", "done", "dead", "expired", "cancelled", "pending", "in_flight", "forwarded", "imbalance"];

/** Where every message is. */
export const show = (place, session, _, { repeat }) => {
  const word = make("p");
  const list = table("Messages by where they are", [
    { title: "Agent", text: one => one.name },
    ...STATES.map(state => ({ title: state.replace("_", " "), text: one => number(one[state]), number: true })),
  ], one => one.key);
  place.append(word, list.element);
  return repeat(3, async () => {
    const { node, agents } = await session.get("ledger");
    word.className = node.imbalance ? "bad" : "good";
    word.textContent = node.imbalance ? `The accounts are off by ${node.imbalance}: see the runbook.` : "Every message is accounted for.";
    list.update([{ ...node, name: "the whole node", key: "node" }, ...agents.map(one => ({ ...one, key: `agent ${one.name}` }))]);
  });
};
