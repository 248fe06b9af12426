// The pictures of an answer: more of them at the end, the way from one to the next by keys, and those that cannot be shown.
import { fetchPart } from "./fetching.js";

const MARGIN = "1200px"; // how far from view the end may be when more is fetched
let fetching = null;

const observer = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) fetchMore();
}, { rootMargin: MARGIN });

/** Watch the end of the pictures now on the page. */
export function watchEnd() {
  observer.disconnect();
  fetching?.abort();
  fetching = null;
  const end = document.querySelector("#cards > .end[data-more]");
  if (end) observer.observe(end);
}

async function fetchMore() {
  const cards = document.getElementById("cards");
  const end = cards?.querySelector(".end[data-more]");
  if (!end || fetching) return;
  const asked = (fetching = new AbortController());
  try {
    const address = new URL(location.href);
    address.searchParams.set("seen", end.dataset.shown);
    const response = await fetchPart(address, "cards", { signal: asked.signal });
    const text = await response.text();
    if (asked.signal.aborted) return;
    if (!response.ok) {
      end.innerHTML = text; // the server's own markup, with everything escaped
      return;
    }
    const known = new Set([...cards.querySelectorAll(".card")].map((card) => card.dataset.key));
    const page = document.createElement("template");
    page.innerHTML = text;
    for (const card of page.content.querySelectorAll(".card")) if (known.has(card.dataset.key)) card.remove();
    end.replaceWith(page.content);
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    return;
  } finally {
    if (fetching === asked) fetching = null;
  }
  // Looked at anew: on a large screen the next end may be in view at once.
  const next = cards.querySelector(".end[data-more]");
  observer.disconnect();
  if (next) observer.observe(next);
}

/** Move from the picture that has the focus by an arrow key; return whether it moved. */
export function moveByKey(key) {
  const links = [...document.querySelectorAll(".card .picture")];
  const at = links.indexOf(document.activeElement);
  if (!links.length) return false;
  if (at < 0) {
    if (document.activeElement !== document.body && !document.activeElement.matches("main")) return false;
    links[0].focus();
    return true;
  }
  const top = (link) => link.getBoundingClientRect().top;
  const across = links.filter((link) => Math.abs(top(link) - top(links[at])) < 4).length || 1;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[key];
  const to = links[Math.max(0, Math.min(links.length - 1, at + step))];
  to.focus({ preventScroll: true });
  to.scrollIntoView({ block: "nearest" });
  return true;
}

// A picture that vanished has its place kept, and is told once for the whole page.
document.addEventListener("error", (event) => {
  const picture = event.target.closest?.(".card .picture, .strip a");
  if (!picture || !event.target.matches("img")) return;
  picture.classList.add("gone");
  const note = document.getElementById("missing");
  const gone = new Set([...document.querySelectorAll(".card .gone")].map((link) => link.closest(".card").dataset.key)).size;
  if (!note || !gone) return;
  note.hidden = false;
  note.textContent = `${gone === 1 ? "One picture" : `${gone} pictures`} cannot be shown: gone from where the table says, or no picture. What the tables say of ${gone === 1 ? "it" : "them"} is found all the same.`;
}, true);
