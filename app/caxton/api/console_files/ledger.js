// Owns the page of the ledger: where every message is, by node and by agent.

import { make, number, panel, put } from "./dom.js";
import { agentLink } from "./session.js";
import { table } from "./table.js";

export const title = () => "Ledger";

const STATES = ["accepted", "done", "dead", "expired", "cancelled", "pending", "in_flight", "forwarded", "imbalance"];
const columns = STATES.map(which => ({ title: which.replace("_", " "), text: one => number(one[which]), number: true }));

const verdict = ({ balanced, missing, total }) => {
  if (balanced) return ["Every message is accounted for.", "good"];
  if (total.imbalance) return [`The accounts are off by ${number(total.imbalance)}: see the runbook.`, "bad"];
  return [`No account from ${missing.join(", ")}: what lives there is not counted here.`, "bad"];
};

/** The accounts of every node, and of the agents of the one that answers. */
export const show = (place, session, _, { repeat }) => {
  const word = make("p", { class: "verdict" });
  const nodes = table("Of each node, and their sum", [{ title: "Node", text: one => one.name }, ...columns], one => one.key);
  const agents = table("Of the agents on the node that answers", [
    { title: "Agent", text: one => one.name, link: one => agentLink(one.name) }, ...columns], one => one.name);
  place.append(make("section", { class: "panel", "aria-label": "Accounts" }, word, nodes.element),
    panel("By agent", agents.element));
  return repeat(3, async () => {
    const [whole, own] = await Promise.all([session.get("ledger?cluster=true"), session.get("ledger")]);
    put(word, ...verdict(whole));
    const rows = whole.nodes.map(({ node, ledger }) =>
      ({ ...ledger, name: ledger ? node : `${node} (no answer)`, key: `node ${node}` }));
    nodes.update(rows.length > 1 ? [...rows, { ...whole.total, name: "all nodes", key: "all" }] : rows);
    agents.update(own.agents);
  });
};
