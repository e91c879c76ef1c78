// Owns the form that sends one message to an agent and shows the reply.

import { make, labelled, panel, pretty } from "./dom.js";

/** For the agent at `path`. */
export const invocation = (session, path, { failed }) => {
  const content = make("textarea", { spellcheck: "false", id: "invoke-content" }, '"hello"');
  const answer = make("pre", { role: "status", "aria-label": "Answer", id: "invoke-answer", tabindex: "0" }, "No answer yet.");
  const send = make("button", { type: "submit", class: "main" }, "Invoke");
  const submit = async event => {
    event.preventDefault();
    send.disabled = true;
    answer.textContent = "…";
    try {
      answer.textContent = pretty(await session.post(`${path}/invoke`, { content: JSON.parse(content.value) }));
    } catch (error) {
      answer.textContent = error.message;
      if (error.status === 401) failed(error);
    }
    send.disabled = false;
  };
  return panel("Invoke", make("form", { submit }, labelled("Content (JSON)", content), send, answer));
};
