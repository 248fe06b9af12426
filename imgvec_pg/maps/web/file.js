// A map in a file of its own: all data is in it.
"use strict";
addEventListener("DOMContentLoaded", async () => {
  const letters = atob(document.getElementById("map-data").textContent);
  const sent = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) sent[i] = letters.charCodeAt(i);
  const map = readMap(sent.buffer);
  const sheets = [...document.querySelectorAll("img.sheet")];
  await Promise.all(sheets.map((sheet) => sheet.decode().catch(() => {})));
  const view = new MapView(document.querySelector(".map"), {
    async picture(point) {
      const [width, height] = map.sizes[point] ?? [0, 0];
      if (!width) return null;
      const [sheet, place] = [Math.floor(point / map.perSheet), point % map.perSheet];
      const across = Math.sqrt(map.perSheet);
      return {
        image: sheets[sheet], sx: (place % across) * map.tile, sy: Math.floor(place / across) * map.tile, sw: width, sh: height,
      };
    },
    async describe(point) {
      const cluster = map.clusters.find((one) => one.number === map.numbers[point]);
      return { title: map.titles[point], lines: cluster ? [cluster.name] : [] };
    },
    chosen: (loop, points) => showChosen(view, map, loop, points),
    said: (text) => (view.find("said").textContent = text),
  });
  fillPanel(view, map);
  listenToPanel(view);
  view.load(map);
  window.imgvecMap = view; // for those who look into it
  document.documentElement.dataset.ready = "";
});
