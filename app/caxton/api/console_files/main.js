// Owns the frame: signing in, the navigation, which page is shown, and what is said to everybody. A page is
// `show(place, session, argument, tools)`: it fills `place`, and returns what ends it (nothing, where nothing goes on).

import { make, labelled } from "./dom.js";
import { keepPage } from "./drop.js";
import { Session, Refused } from "./session.js";
import * as cluster from "./cluster.js";
import * as agents from "./agents.js";
import * as agent from "./agent.js";
import * as deadLetters from "./dead_letters.js";
import * as conversations from "./conversations.js";
import * as ledger from "./ledger.js";
import * as events from "./events.js";

const PAGES = { cluster, agents, "dead-letters": deadLetters, conversations, ledger, events };
const HIDDEN = { agent };
const UNDER = { agent: "agents" };
const OF_THE_NODE = ["cluster"];
const RETRY_MILLISECONDS = 2000;
const session = new Session();
const at = id => document.getElementById(id);
let end = () => {};

/** One line for everybody, screen readers too. */
const say = (text, bad = false) => {
  at("status").textContent = text;
  at("status").className = text ? (bad ? "bad" : "good") : "";
};

const failed = error => {
  say(error.message, true);
  if (error instanceof Refused && error.status === 401) { session.signOut(); start(); }
};

/**
 * Calls `step` now and every so many seconds, one at a time; a page that goes ends it. What failed may heal itself, but
 * not what one may not do: each time it is asked is another line in the audit.
 */
const repeat = (seconds, step) => {
  let timer, over = false, broken = false;
  const turn = async () => {
    try {
      await step();
      if (broken && !over) say("");
      broken = false;
    } catch (error) {
      if (!over) failed(error);
      over ||= error.status === 403;
      broken = true;
    }
    if (!over) timer = setTimeout(turn, seconds * 1000);
  };
  turn();
  return () => { over = true; clearTimeout(timer); };
};

const tools = { say, failed, repeat };

const heading = (place, text) => {
  const title = make("h1", { tabindex: "-1" }, text);
  place.append(title);
  title.focus();
  document.title = `${text} – Caxton`;
};

/** A part of the place as it was before a link encoded it. Somebody may have typed anything there. */
const decoded = text => { try { return decodeURIComponent(text); } catch { return text; } };

/** Whether the page is about nothing that is out of the caller's reach: no part of the node belongs to a namespace. */
const within = name => !(session.caller.namespace && OF_THE_NODE.includes(name));

const navigate = () => {
  end();
  const [name = "", ...rest] = location.hash.slice(1).split("/");
  const chosen = (PAGES[name] || HIDDEN[name]) && within(name) ? name : within("cluster") ? "cluster" : "agents";
  const page = PAGES[chosen] || HIDDEN[chosen];
  const argument = rest.map(decoded).join("/");
  for (const link of at("pages").querySelectorAll("a")) {
    link.parentElement.hidden = !within(link.hash.slice(1));
    if (link.hash === `#${UNDER[chosen] || chosen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const place = make("div");
  at("main").replaceChildren(place);
  say("");
  heading(place, page.title(argument));
  end = session.may("read") ? page.show(place, session, argument, tools) || (() => {}) : () => {};
  if (!session.may("read")) {
    place.append(make("p", {}, `The role ${session.caller.role} may look at nothing here; it takes the permission read.`));
  }
};

const signInForm = () => {
  const field = make("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true, id: "credential" });
  const submit = async event => {
    event.preventDefault();
    try { await session.signIn(field.value.trim()); } catch (error) { say(error.message, true); field.focus(); return; }
    field.value = "";
    start();
  };
  const place = make("div", { class: "sign-in" });
  at("main").replaceChildren(place);
  heading(place, "Sign in");
  place.append(make("form", { submit },
    labelled("API key or token", field, "It is kept until this tab is closed, and sent to this node only."),
    make("button", { type: "submit", class: "main" }, "Sign in")));
  field.focus();
};

const start = async () => {
  end();
  end = () => {};
  window.removeEventListener("hashchange", navigate);
  let known = Boolean(session.caller);
  if (!known) {
    try { await session.signIn(); known = true; } catch (error) {
      if (error.status !== 401) { say(error.message, true); setTimeout(start, RETRY_MILLISECONDS); return; }
    }
  }
  at("pages").hidden = !known;
  at("sign-out").hidden = !known || !session.credential;
  at("who").textContent = known ? `${session.caller.subject} (${session.caller.role})` : "";
  if (!known) { signInForm(); return; }
  window.addEventListener("hashchange", navigate);
  navigate();
};

const link = ([name, page]) => make("li", {}, make("a", { href: `#${name}` }, page.title("")));
at("pages").append(make("ul", {}, ...Object.entries(PAGES).map(link)));
at("sign-out").addEventListener("click", () => { session.signOut(); say(""); start(); });
document.querySelector(".skip").addEventListener("click", event => { event.preventDefault(); at("main").focus(); });
keepPage();
start();
