// What stands beside a map: facts, colours, clusters, and the rows within a loop as SQL.
"use strict";

/** Fill all that stands beside the map from its head. */
function fillPanel(view, map) {
  view.find("facts").textContent = map.facts.join(" · ");
  listClusters(view, view.find("clusters"), map.clusters);
  const legend = view.find("legend");
  legend.replaceChildren();
  const item = (colour, text) => {
    const [line, dot] = ["li", "i"].map((kind) => document.createElement(kind));
    dot.style.background = colour;
    line.append(dot, text);
    return line;
  };
  if (map.isScale) {
    const [line, ramp] = ["li", "span"].map((kind) => document.createElement(kind));
    ramp.className = "ramp";
    ramp.style.background = `linear-gradient(90deg, ${map.legend.map(([, colour]) => colour).join()})`;
    line.append(map.legend[0][0], ramp, map.legend.at(-1)[0]);
    legend.append(line);
  } else legend.append(...map.legend.map(([name, colour]) => item(colour, name)));
}

/** Show the rows within a loop: how many, and the statement that finds them; null hides them. */
function showChosen(view, map, loop, points) {
  const panel = view.find("chosen");
  panel.hidden = !loop;
  if (!loop) return;
  const count = points.length.toLocaleString("en");
  view.find("count").textContent = `${count} ${points.length === 1 ? "row" : "rows"} in the loop`;
  view.find("statement").textContent = `${map.select} ${loopCondition(loop, "m.")}`;
  view.source.said(`${count} rows in the loop`);
}

/** Let the buttons of the chosen rows work. */
function listenToPanel(view) {
  view.find("clear").addEventListener("click", () => view.clearLoop());
  view.find("copy").addEventListener("click", async () => {
    const text = view.find("statement").textContent;
    try {
      await navigator.clipboard.writeText(text);
      view.source.said("copied");
    } catch {
      getSelection().selectAllChildren(view.find("statement"));
      view.source.said("selected: copy it with ctrl-C");
    }
  });
}
