// Owns the page of the cluster: whether it is whole, its map, and each node with its agents and what may be done with it.

import { make, button, counted, facts, number, panel, put, state, time } from "./dom.js";
import { confirmed } from "./confirm.js";
import { health, map, way } from "./map.js";
import { agentLink } from "./session.js";
import { toneOf } from "./agents.js";

export const title = () => "Cluster";

const LEGEND = "A solid line is a direct link, a dashed one goes by way of another node, a dotted one with a cross is cut.";
const MOST_AGENTS = 1000, LISTED = 24, WAIT_SECONDS = 60;

const drain = async (session, node, { say, failed }) => {
  const words = "It takes no new work, also after a restart, until it is undrained. What runs has "
    + `${WAIT_SECONDS} seconds to end; in a cluster its agents go to other nodes.`;
  if (!await confirmed(`Drain ${node}?`, words, "Drain")) return;
  say(`${node} is being drained.`);
  try {
    const done = await session.post(`cluster/nodes/${encodeURIComponent(node)}/drain`, { wait_seconds: WAIT_SECONDS });
    const kept = done.kept?.length ? `; ${counted(done.kept.length, "agent")} could not go` : "";
    const moved = done.moved?.length ? `: ${counted(done.moved.length, "agent")} moved` : "";
    say(done.drained ? `${node} is drained${moved}${kept}.` : `The drain of ${node} was undone.`);
  } catch (error) { failed(error); }
};

const undrain = (session, node, { say, failed }) =>
  session.post(`cluster/nodes/${encodeURIComponent(node)}/undrain`).then(() => say(`${node} takes work again.`), failed);

/** The names of a node's agents. `update(agents)`. */
const names = node => {
  const element = make("ul", { class: "names", "aria-label": `Agents of ${node}` });
  let shown = "";
  const name = one => make("li", {}, state("", toneOf(one.status)),
    make("a", { href: agentLink(one.name) }, one.name), one.status === "running" ? "" : ` (${one.status})`);
  const update = items => {
    const now = JSON.stringify(items.map(one => [one.name, one.status]));
    if (now === shown) return;
    shown = now;
    element.replaceChildren(...items.slice(0, LISTED).map(name));
    if (items.length > LISTED) element.append(make("li", {}, `and ${number(items.length - LISTED)} more`));
  };
  return { element, update };
};

const REGISTRY = new Map([[true, "the same"], [false, "differs"], [null, "unknown"]]);

/** One node. `update(member, agents)`. */
const card = (session, node, tools) => {
  const word = make("p"), about = facts(["Link", "Homes", "Replicas", "Waiting here", "Registry", "Software", "Address"]);
  const agents = names(node), offer = make("div", { class: "actions" });
  const element = make("li", { class: "panel" }, make("h3", {}, node), word, about.element, agents.element, offer);
  let offered = "";
  const update = (member, items) => {
    put(word, ...health(member));
    about.update([way(member), number(member.homes), number(member.replicas), number(member.outbox),
      REGISTRY.get(member.registry_equal), member.software, member.address]);
    agents.update(items);
    const verb = !session.may("maintain") || member.path === "none" ? "" : member.state === "draining" ? "Undrain" : "Drain";
    if (verb === offered) return;
    offered = verb;
    const press = () => (verb === "Drain" ? drain : undrain)(session, node, tools);
    offer.replaceChildren(verb && button(verb, press, { "aria-label": `${verb} ${node}` }));
  };
  return { element, update };
};

const verdict = view => {
  const tone = view.whole ? "good" : "bad";
  if (view.alone) return [`One node, without a cluster${view.whole ? "" : "; it is not well"}.`, tone];
  const nodes = `${view.members.filter(one => one.path !== "none").length} of ${counted(view.expected_nodes, "node")}`;
  if (view.whole) return [`Whole: ${nodes}.`, tone];
  return [`Not whole: ${nodes}; this side has ${view.majority ? "the" : "no"} majority.`, tone];
};

/** Every node with its health, as the node that answers sees it. */
export const show = (place, session, _, tools) => {
  const word = make("p", { class: "verdict" }), problems = make("ul", { class: "problems", "aria-label": "Problems" });
  const known = facts(["Answered by", "Majority", "Since", "In a partition", "Moving", "Agents"]);
  const picture = make("div", { class: "scroll" }), nodes = make("ul", { class: "cards", "aria-label": "Nodes" });
  place.append(make("section", { class: "panel", "aria-label": "Health" }, word, problems, known.element, picture,
    make("p", { class: "hint" }, LEGEND)),
  panel("Nodes and their agents", nodes));
  const cards = new Map();
  let drawn = "";
  return tools.repeat(2, async () => {
    const [view, { items: agents, more }] = await Promise.all([session.get("cluster"), session.all("agents", MOST_AGENTS)]);
    const homes = Map.groupBy(agents, one => one.node), of = node => homes.get(node) || [];
    put(word, ...verdict(view));
    known.update([view.node_id, view.majority ? "yes" : "no", time(view.majority_since), view.partition_mode,
      counted(view.handovers.length, "agent"), more ? `more than the ${number(agents.length)} shown` : number(agents.length)]);
    const members = view.members.map(one => [one.node_id, one.state, way(one), of(one.node_id).length]);
    const now = JSON.stringify([view.problems, members]);
    if (now !== drawn) {
      drawn = now;
      problems.replaceChildren(...view.problems.map(one => make("li", {}, Object.values(one).filter(Boolean).join(": "))));
      picture.replaceChildren(map(view, node => counted(of(node).length, "agent")));
    }
    for (const { node_id: node } of view.members) {
      if (!cards.has(node)) { cards.set(node, card(session, node, tools)); nodes.append(cards.get(node).element); }
    }
    for (const [node, made] of cards) {
      const member = view.members.find(one => one.node_id === node);
      if (member) made.update(member, of(node)); else { made.element.remove(); cards.delete(node); }
    }
  });
};
