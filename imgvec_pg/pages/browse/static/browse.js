// The page of browse: its state is the address; a change of a field writes it there and fetches the answer alone.
import { onAddressChange, readAddress, writeAddress } from "../address.js";
import { moveByKey, watchEnd } from "./cards.js";
import { fetchPart } from "./fetching.js";
import { makeRanges, showRanges } from "./ranges.js";
import { watchModel } from "./model.js";
import { closeRow, isRowOpen, openRow, stepRow } from "./row.js";
import { onUpload } from "./upload.js";

const TYPING = 350; // milliseconds without a key before words are asked with
const MOVING = 120; // the same of a slider
const KEPT = 20;
const form = document.getElementById("state");
const announce = document.getElementById("announce");
const panel = document.getElementById("panel");
const kept = new Map(); // answers shown before, by their address, for back and forward
let fetching = null;
let timer = 0;
let lastField = ""; // that was changed last

const withoutRow = (parameters) => {
  parameters.delete("row");
  return parameters;
};
const stateText = () => String(withoutRow(readAddress()));

/** Return the state that the fields say; what no field has stays as the address has it. */
function formState() {
  const given = new FormData(form);
  const fields = new Set([...form.elements].map((field) => field.name).filter(Boolean));
  const state = new URLSearchParams([...given].filter(([, value]) => typeof value === "string" && value.trim()));
  for (const [name, value] of readAddress()) if (!fields.has(name) && name !== "row") state.append(name, value);
  const before = readAddress();
  // The cut belongs to what was asked: of another question the page chooses one that suits it.
  const asks = (parameters) => String(new URLSearchParams([...parameters].filter(([name]) => !["cut", "row"].includes(name))));
  if (asks(before) !== asks(state) || !touchedCut) state.delete("cut");
  dropSaved(state);
  return state;
}

/** Leave a saved question that goes with no words, picture or likeness, where there are some. */
function dropSaved(state) {
  if (state.get("saved") !== "different" && ["q", "minus", "like", "picture"].some((name) => state.get(name)?.trim())) state.delete("saved");
}
let touchedCut = readAddress().has("cut");

/** Write a state into the address and show its answer. */
async function show(state, { part = "results", replace = false } = {}) {
  remember();
  writeAddress(state, { replace });
  await fetchResults(part);
}

async function fetchResults(part = "results") {
  fetching?.abort();
  const asked = (fetching = new AbortController());
  const old = document.getElementById("results");
  const dim = setTimeout(() => old.classList.add("busy"), 150);
  old.setAttribute("aria-busy", "true");
  try {
    const response = await fetchPart(location.href, part, { signal: asked.signal });
    const text = await response.text();
    if (asked.signal.aborted) return;
    if (response.status === 403) {
      location.reload(); // Another imgvec browse runs: its page says what to do.
      return;
    }
    const page = document.createElement("template");
    page.innerHTML = text; // the server's own markup, with everything escaped
    const made = page.content.getElementById("results");
    if (made) place(made, part !== "cut");
    else old.querySelector(".status").textContent = page.content.textContent.trim();
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  } finally {
    clearTimeout(dim);
    old.classList.remove("busy");
    old.removeAttribute("aria-busy");
  }
}

/** Put an answer in the place of the one before; the focus stays on a field that both have. */
function place(made, toTop) {
  const old = document.getElementById("results");
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  const wasOpen = old.querySelector(".sql[open]") !== null;
  old.replaceWith(made);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (wasOpen) for (const details of made.querySelectorAll(".sql")) details.open = true;
  const found = made.querySelector(".cards");
  const top = made.getBoundingClientRect().top + scrollY;
  if (toTop && found && scrollY > top) scrollTo(0, Math.max(0, top - 120));
  announce.textContent = (made.querySelector(".problem") || made.querySelector(".status")).textContent.replace(/·.*/, "").trim();
  const done = panel?.querySelector("[data-close-panel]");
  if (done) done.textContent = made.querySelector(".problem") ? "Done" : `Show ${made.querySelector(".card") ? "pictures" : "no row"}`;
  watchEnd();
}

/** Keep the answer on the page for its address, with the place that was scrolled to. */
function remember() {
  kept.delete(shown);
  kept.set(shown, { results: document.getElementById("results"), scrolled: scrollY });
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  shown = null;
}
let shown = stateText();

/** Show in the fields what the address says. */
function fillForm() {
  const state = readAddress();
  for (const field of form.elements) {
    if (!field.name || field.type === "hidden" || field.type === "file" || field.id === "cut") continue;
    if (field.type === "checkbox") field.checked = state.getAll(field.name).includes(field.value);
    else if (field.type === "radio") field.checked = (state.getAll(field.name).at(-1) ?? "") === field.value;
    else field.value = state.get(field.name) ?? "";
  }
  touchedCut = state.has("cut");
  showRanges(document);
}

async function go(state, options) {
  await show(state, options);
  shown = stateText();
}

function changed(event) {
  if (event.target.form !== form || event.target.type === "hidden") return;
  const field = event.target;
  const isCut = field.id === "cut";
  if (isCut) {
    touchedCut = true;
    document.getElementById("cut-value").textContent = Number(field.value).toFixed(3);
  }
  if (field.closest(".bounds")) showRanges(document);
  const isTyped = field.matches("[type=search], [type=number], [type=date]");
  if (event.type === "change" && isTyped) return; // told by input already
  clearTimeout(timer);
  const wait = isTyped ? (event.isTrusted ? TYPING : MOVING) : isCut ? MOVING : 0;
  timer = setTimeout(() => {
    if (field.validity && !field.validity.valid) return;
    // Of one field or slider the way from value to value is one step of the history.
    const isSame = (isCut || isTyped) && lastField === field.name;
    go(formState(), { part: isCut ? "cut" : "results", replace: isSame });
    lastField = field.name;
  }, wait);
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  lastField = "";
  clearTimeout(timer);
  go(formState());
});
document.addEventListener("input", (event) => {
  // Words are asked with when they are sent: each takes the model some time.
  if (event.target.id !== "q" && event.target.id !== "minus") changed(event);
});
document.addEventListener("change", changed);
document.addEventListener("search", (event) => {
  // The cross in a field of words empties it.
  if (event.target.form === form && event.target.value === "") form.requestSubmit();
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-state], a[data-open], button");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (link.matches("[data-state]")) {
    event.preventDefault();
    closeRow();
    lastField = "";
    const state = new URL(link.href).searchParams;
    go(state);
    fillForm();
    if (link.matches("[data-like], .times")) scrollTo(0, 0);
  } else if (link.matches("[data-open]")) {
    event.preventDefault();
    openRow(link.href, link.dataset.key ?? link.closest(".card").dataset.key);
  } else if (link.matches("[data-copy]")) copy(link);
  else if (link.matches("[data-open-panel]")) openPanel(true);
  else if (link.matches("[data-close-panel]")) openPanel(false);
});

async function copy(button) {
  await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
  button.textContent = "Copied";
  announce.textContent = "The SQL is copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

function openPanel(isOpen) {
  panel.classList.toggle("open", isOpen);
  document.body.classList.toggle("covered", isOpen);
  (isOpen ? panel.querySelector("[data-close-panel]") : document.querySelector("[data-open-panel]"))?.focus();
}

onAddressChange((state) => {
  lastField = "";
  const row = state.get("row");
  const now = stateText();
  if (!row) closeRow();
  if (now === shown) {
    if (row) openRow(`row/${encodeURIComponent(row)}`, row, { push: false });
    return;
  }
  fetching?.abort();
  clearTimeout(timer);
  const before = kept.get(now);
  remember();
  shown = now;
  fillForm();
  if (before) {
    place(before.results, false);
    scrollTo(0, before.scrolled);
    fillForm();
  } else fetchResults();
});

const isTyping = (target) => target.matches("input:not([type=checkbox], [type=radio], [type=range], [type=file]), textarea, select");
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape" && panel?.classList.contains("open")) openPanel(false);
  if (isTyping(event.target) || document.getElementById("keys").open) return;
  if (isRowOpen()) {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      if (!event.target.matches("pre")) stepRow(event.key === "ArrowLeft" ? -1 : 1);
    } else if (event.key === "m") document.querySelector("#row [data-like]")?.click();
    return;
  }
  if (event.key.startsWith("Arrow")) {
    if (!event.target.matches("input, pre, [tabindex='0']") && moveByKey(event.key)) event.preventDefault();
    return;
  }
  const act = {
    "/": () => document.getElementById("q").focus(),
    f: () => (getComputedStyle(panel).display === "none" ? openPanel(true) : panel.querySelector("input").focus()),
    m: () => document.activeElement.closest(".card")?.querySelector("[data-like]").click(),
    s: () => {
      const details = document.querySelector(".sql");
      if (!details) return;
      details.open = !details.open;
      if (details.open) details.scrollIntoView({ block: "nearest" });
      details.querySelector("summary").focus();
    },
    "?": () => document.getElementById("keys").showModal(),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

onUpload(
  (picture) => {
    const state = withoutRow(readAddress());
    for (const name of ["like", "all_rows", "cut"]) state.delete(name);
    state.set("picture", picture);
    dropSaved(state);
    go(state);
  },
  (sentence) => {
    const results = document.getElementById("results");
    results.querySelector(":scope > .problem")?.remove();
    const problem = document.createElement("p");
    problem.className = "problem";
    problem.setAttribute("role", "alert");
    problem.textContent = sentence;
    results.querySelector(".toolbar").after(problem);
  },
);

makeRanges(document);
watchEnd();
watchModel();
const first = readAddress().get("row");
if (first) openRow(`row/${encodeURIComponent(first)}`, first, { push: false });
