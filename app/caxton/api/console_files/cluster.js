import { make, number } from "./dom.js";

export const title = () => "Cluster";

const card = (member, here) => {
  const well = member.state === "active" && (member.node_id === here || member.path !== "none");
  return make("li", { class: well ? "well" : "" },
    make("strong", {}, member.node_id), member.node_id === here ? " (this node)" : "",
    make("div", {}, well ? "well" : `${member.state}, path ${member.path}`),
    make("div", {}, `${number(member.homes)} homes, ${number(member.replicas)} replicas, ${number(member.outbox)} waiting`),
    make("div", {}, [member.address, member.software].filter(Boolean).join(" · ")));
};

/** Every node with its health. */
export const show = (place, session, _, { repeat }) => {
  const word = make("p"), problems = make("ul"), nodes = make("ul", { class: "cards", "aria-label": "Nodes" });
  place.append(word, problems, nodes);
  let shown = "";
  return repeat(2, async () => {
    const view = await session.get("cluster");
    const state = JSON.stringify([view.whole, view.problems, view.members.map(m => [m.state, m.path, m.homes, m.replicas, m.outbox])]);
    if (state === shown) return;
    shown = state;
    word.className = view.whole ? "good" : "bad";
    word.textContent = view.alone ? "One node, without a cluster."
      : view.whole ? `Whole: ${view.members.length} of ${view.expected_nodes} nodes.`
        : `Not whole: ${view.majority ? "this side has the majority" : "no majority"}.`;
    problems.replaceChildren(...view.problems.map(one => make("li", {}, Object.values(one).filter(Boolean).join(": "))));
    nodes.replaceChildren(...view.members.map(member => card(member, view.node_id)));
  });
};
