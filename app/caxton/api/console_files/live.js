// Owns the connection to /ws. One that is lost is made again, and goes on after the last event that was seen; behind
// balancers another node may answer then, whose events are others.

import { Refused } from "./session.js";

const FIRST_RETRY = 500, LAST_RETRY = 15_000, POLICY_VIOLATION = 1008;

/**
 * `told(event)` for each event of these globs, `state(text)` when the connection changes, `moved(node)` when it is to
 * another node than before, `refused(error)` when the node says that it will not go on; returns what ends it.
 */
export const follow = (session, globs, { told, state, moved, refused }) => {
  let socket, timer, node, last, retry = FIRST_RETRY, over = false;
  const open = () => {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    let error;
    socket.onopen = () => socket.send(JSON.stringify(session.auth));
    socket.onmessage = message => {
      const said = JSON.parse(message.data);
      if (said.type === "welcome") {
        if (node && said.node !== node) { last = undefined; moved(said.node); }
        node = said.node;
        socket.send(JSON.stringify({ type: "subscribe", events: globs, last_event_id: last }));
      } else if (said.type === "subscribed") {
        last = said.last_event_id;
        retry = FIRST_RETRY;
        state(`Connected to ${node}: what happens on this node.`);
      }
      else if (said.type === "error") error = Refused.within(said.error);
      else if (said.type === "event") { last = said.event.id; told(said.event); }
    };
    socket.onclose = closed => {
      if (over) return;
      if (closed.code === POLICY_VIOLATION && error) { state(`The node refused: ${error.message}`); refused(error); return; }
      state("Not connected; trying again.");
      timer = setTimeout(open, retry);
      retry = Math.min(retry * 2, LAST_RETRY);
    };
  };
  open();
  return () => { over = true; clearTimeout(timer); socket.close(); };
};
