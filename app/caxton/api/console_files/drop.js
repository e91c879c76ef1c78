// Owns where a module is dropped, or chosen with the keyboard. Must never send it anywhere.

import { make, labelled } from "./dom.js";

/** `take(file)` is called with either. */
export const dropZone = (title, take) => {
  const change = () => {
    const [file] = input.files;
    input.value = ""; // else the same name, built anew, would be no change
    if (file) take(file);
  };
  const input = make("input", { type: "file", accept: ".wasm,.wat", change });
  const zone = make("div", { class: "drop" }, labelled(title, input));
  zone.addEventListener("dragover", event => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", event => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  return zone;
};

/** A file that is dropped beside the zone must not make the browser leave the page. */
export const keepPage = () => {
  for (const type of ["dragover", "drop"]) window.addEventListener(type, event => event.preventDefault());
};
