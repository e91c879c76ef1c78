// Owns the question before something that cannot be undone. Must never do it.

import { make } from "./dom.js";

/** Asks; true once `verb` was pressed. Escape and "Cancel", which has the focus first, say no. */
export const confirmed = (question, explanation, verb) => new Promise(resolve => {
  let answer = false;
  const close = value => { answer = value; dialog.close(); };
  const dialog = make("dialog", { "aria-labelledby": "confirm-question", "aria-describedby": "confirm-explanation" },
    make("h2", { id: "confirm-question" }, question), make("p", { id: "confirm-explanation" }, explanation),
    make("div", { class: "actions" },
      make("button", { type: "button", autofocus: true, click: () => close(false) }, "Cancel"),
      make("button", { type: "button", class: "danger", id: "confirm-do", click: () => close(true) }, verb)));
  dialog.addEventListener("close", () => { dialog.remove(); resolve(answer); });
  document.body.append(dialog);
  dialog.showModal();
});
