// One row in a dialog over the page; the address has it as ?row=KEY, and the arrows lead to its neighbours.
import { readAddress, writeAddress } from "../address.js";
import { fetchPart } from "./fetching.js";

const dialog = document.getElementById("row");
let fetching = null;

/** Whether a row is open. */
export const isRowOpen = () => dialog.open;

/** Open a row, by its link's address. */
export async function openRow(address, key, { push = true } = {}) {
  fetching?.abort();
  const asked = (fetching = new AbortController());
  if (push) {
    const parameters = readAddress();
    parameters.set("row", key);
    writeAddress(parameters, { replace: dialog.open });
  }
  try {
    const target = new URL(address, location.href);
    for (const [name, value] of readAddress()) if (name !== "row") target.searchParams.append(name, value);
    const response = await fetchPart(target, "row", { signal: asked.signal });
    const text = await response.text();
    if (asked.signal.aborted) return;
    dialog.innerHTML = text; // the server's own markup, with everything escaped
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    return;
  }
  const close = document.createElement("button");
  Object.assign(close, { type: "button", className: "icon close", title: "Close (Esc)" });
  close.setAttribute("aria-label", "Close");
  close.textContent = "✕";
  close.addEventListener("click", () => dialog.close());
  dialog.prepend(close);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  close.focus();
}

/** Close it without a new entry in the history. */
export function closeRow() {
  if (dialog.open) {
    dialog.dataset.silent = "";
    dialog.close();
  }
}

/** Open the next or the previous picture of the page. */
export function stepRow(step) {
  const links = [...document.querySelectorAll(".card .picture")];
  const key = dialog.querySelector(".row")?.dataset.key;
  const at = links.findIndex((link) => link.closest(".card").dataset.key === key);
  const to = links[at + step];
  if (at < 0 || !to) return;
  to.scrollIntoView({ block: "nearest" });
  openRow(to.href, to.closest(".card").dataset.key);
}

dialog.addEventListener("close", () => {
  fetching?.abort();
  const key = dialog.querySelector(".row")?.dataset.key;
  dialog.replaceChildren();
  if ("silent" in dialog.dataset) {
    delete dialog.dataset.silent;
    return;
  }
  const parameters = readAddress();
  parameters.delete("row");
  writeAddress(parameters);
  const card = [...document.querySelectorAll(".card")].find((item) => item.dataset.key === key);
  card?.querySelector(".picture").focus({ preventScroll: true });
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
