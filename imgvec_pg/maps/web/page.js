// The map as a page of `imgvec browse`: points, rows and pictures come from the server as they are wanted.
import { onAddressChange, readAddress, writeAddress } from "../../static/address.js";

const view = new MapView(document.querySelector(".map"), {
  async picture(point) {
    const answer = await ask(`picture?${place(point)}`);
    if (!answer?.ok) return null;
    const image = await createImageBitmap(await answer.blob());
    return { image, sx: 0, sy: 0, sw: image.width, sh: image.height };
  },
  async describe(point) {
    const answer = await ask(`row?${place(point)}`);
    if (!answer?.ok) return null;
    const told = await answer.json();
    const cluster = map.clusters.find((one) => one.number === map.numbers[point]);
    return { title: told.title, lines: [...(cluster ? [cluster.name] : []), ...told.lines], href: told.href };
  },
  chosen(loop, points) {
    showChosen(view, map, loop, points);
    rows.hidden = true;
    if (!loop) return;
    const corners = loopCorners(loop);
    const file = document.createElement("a");
    file.href = `loop.csv?loop=${encodeURIComponent(corners)}`;
    file.textContent = "Save as CSV";
    const table = document.createElement("button");
    table.type = "button";
    table.textContent = "Show table";
    table.addEventListener("click", () => showTable(corners));
    view.find("actions").replaceChildren(table, " ", file);
  },
  said: (text) => (view.find("said").textContent = text),
});
const rows = document.getElementById("map-rows");
let map;

/** Return the server's response; null where it is away, which is told. */
async function ask(address) {
  try {
    return await fetch(address, { headers: { "X-Imgvec-Part": "1" } });
  } catch {
    view.find("said").textContent = "imgvec browse does not answer";
    return null;
  }
}

/** Return a point's place as the server takes it, exactly. */
function place(point) {
  return `x=${map.places[2 * point]}&y=${map.places[2 * point + 1]}`;
}

async function showTable(corners) {
  const answer = await ask(`loop?loop=${encodeURIComponent(corners)}`);
  if (!answer) return;
  rows.innerHTML = await answer.text(); // the server's own template, which escapes all values
  rows.hidden = false;
  rows.scrollIntoView({ block: "nearest" });
}

/** Load the map coloured as the address says. */
async function load(isFirst) {
  const by = readAddress().get("by") ?? "cluster";
  const select = document.querySelector("select[name=by]");
  select.value = by;
  view.find("said").textContent = "loading the map";
  try {
    const answer = await fetch(`points?by=${encodeURIComponent(by)}`, { headers: { "X-Imgvec-Part": "1" } });
    if (!answer.ok) throw new Error(new DOMParser().parseFromString(await answer.text(), "text/html").body.textContent.trim());
    map = readMap(await answer.arrayBuffer());
  } catch (error) {
    view.find("facts").textContent = `${error.message || "the server is away"}; load the page again`;
    view.find("facts").setAttribute("role", "alert");
    return;
  }
  fillPanel(view, map);
  view.load(map, !isFirst);
  // A row's page leads here: ?at=x,y.
  const at = readAddress().get("at");
  if (isFirst && at) view.showPlace(...at.split(",").map(Number));
  window.imgvecMap = view; // for those who look into it, and benchmarks/map_frames.py
  view.find("said").textContent = `${map.facts[0]} on the map`;
  document.documentElement.dataset.ready = "";
}

view.find("controls").append(document.getElementById("map-controls").content);
document.querySelector("select[name=by]").addEventListener("change", (event) => {
  const address = readAddress();
  address.set("by", event.target.value === "cluster" ? "" : event.target.value);
  writeAddress(address);
  load(false);
});
onAddressChange(() => load(false));
listenToPanel(view);
load(true);
