// A map to move about in: drag, wheel, pinch, keys; pictures at the pointer and where there is room; names; a loop around rows.
"use strict";

const PICTURES_AT_ONCE = 200;
const CELL = 64;
const STEP = 1.35;
const NEIGHBOURS = 40;
const FRAME_MS = 33;
const SAMPLE = 50000;
const LEAST = 20000; // points of a frame: fewer tell too little, and cost a frame without a GPU no less
const STEP_MS = 150;

/** The map within an element. `source` has describe(point) -> {title, lines, href?}, picture(point) -> image or null (by promise), said(text). */
class MapView {
  constructor(root, source) {
    this.root = root;
    this.source = source;
    this.find = (name) => root.querySelector(`[data-map="${name}"]`);
    this.canvas = this.find("points");
    this.over = this.find("over");
    this.card = this.find("card");
    this.names = this.find("names");
    this.points = new PointCanvas(this.canvas);
    this.pictures = new Map();
    this.pointers = new Map();
    this.budget = Infinity; // points a frame has time for
    this.pointed = -1;
    this.isPinned = false;
    this.clusters = [];
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.canvas.parentElement);
  }

  /** Take a map: places, clusters of points, colours, and the named clusters [{number, name, x, y, colour, rows}]. */
  load({ places, numbers, colours, clusters }, keepView = false) {
    this.places = places;
    this.numbers = numbers;
    this.clusters = clusters;
    this.grid = new PlaceGrid(places);
    this.points.load(places, colours);
    this.pictures.clear();
    this.names.replaceChildren(
      ...clusters.map((cluster) => {
        const label = document.createElement("span");
        label.textContent = cluster.name;
        label.style.borderColor = cluster.colour;
        return label;
      }),
    );
    this.budget = Math.min(this.budget, SAMPLE);
    this.resize(keepView);
    // How many points a frame has time for, from one frame of a sample; the rest follows in the next ones.
    if (this.points.count > SAMPLE && this.view) {
      const took = this.points.time(() => this.drawNow());
      this.budget = Math.max(LEAST, (SAMPLE * FRAME_MS * 0.8) / Math.max(took, 0.1));
    } else this.budget = Infinity;
  }

  resize(keepView = true) {
    const box = this.canvas.parentElement.getBoundingClientRect();
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    this.size = [box.width, box.height];
    for (const canvas of [this.canvas, this.over]) {
      canvas.width = Math.max(1, Math.round(box.width * this.ratio));
      canvas.height = Math.max(1, Math.round(box.height * this.ratio));
    }
    if (this.grid && (!this.view || !keepView)) this.showAll();
    else this.paint();
  }

  /** Show all points. */
  showAll() {
    const { low, high } = this.grid;
    this.fit(low[0], low[1], high[0], high[1]);
  }

  fit(x0, y0, x1, y1) {
    if (!Number.isFinite(x0)) [x0, y0, x1, y1] = [-1, -1, 1, 1];
    const [width, height] = this.size;
    const scale = Math.min((width - 60) / Math.max(x1 - x0, 1e-3), (height - 60) / Math.max(y1 - y0, 1e-3));
    this.view = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, scale: Math.max(0.01, Math.min(scale, 4000)) };
    this.whole ??= this.view.scale;
    this.paint();
  }

  /** Show one cluster, by its place among the named ones. */
  showCluster(place) {
    this.at = ((place % this.clusters.length) + this.clusters.length) % this.clusters.length;
    const cluster = this.clusters[this.at];
    const own = [[], []];
    for (let i = 0; i < this.numbers.length; i++) {
      if (this.numbers[i] === cluster.number) own.forEach((axis, which) => axis.push(this.places[2 * i + which]));
    }
    const [xs, ys] = own.map((axis) => Float32Array.from(axis).sort());
    const at = (axis, share) => axis[Math.floor(share * (axis.length - 1))];
    if (!xs.length) return;
    this.fit(at(xs, 0.05), at(ys, 0.05), at(xs, 0.95), at(ys, 0.95));
    this.source.said(`${cluster.name}: ${cluster.rows.toLocaleString("en")} rows`);
  }

  /** Show a place with its neighbours, and mark it. */
  showPlace(x, y) {
    if (!Number.isFinite(x) || !Number.isFinite(y) || !this.places.length) return;
    const { low, high } = this.grid;
    const widest = Math.max(high[0] - low[0], high[1] - low[1], 1e-3);
    let reach = widest / 400;
    // Twice as far until there are some.
    while (reach < widest && (this.grid.within(x - reach, y - reach, x + reach, y + reach, NEIGHBOURS) ?? { length: NEIGHBOURS }).length < NEIGHBOURS) reach *= 1.5;
    this.mark = [x, y];
    this.fit(x - reach, y - reach, x + reach, y + reach);
    this.showCard(...this.toPixel(x, y), true);
  }

  toPlace(x, y) {
    return [
      this.view.x + (x - this.size[0] / 2) / this.view.scale,
      this.view.y - (y - this.size[1] / 2) / this.view.scale,
    ];
  }

  toPixel(x, y) {
    return [
      (x - this.view.x) * this.view.scale + this.size[0] / 2,
      (this.view.y - y) * this.view.scale + this.size[1] / 2,
    ];
  }

  zoom(factor, x = this.size[0] / 2, y = this.size[1] / 2) {
    const [px, py] = this.toPlace(x, y);
    this.view.scale = Math.max(0.01, Math.min(this.view.scale * factor, 4000));
    const [qx, qy] = this.toPlace(x, y);
    this.view.x += px - qx;
    this.view.y += py - qy;
    this.move();
  }

  pan(dx, dy) {
    this.view.x -= dx / this.view.scale;
    this.view.y += dy / this.view.scale;
    this.move();
  }

  /** Paint while it moves, with as many points as there is time for; then all, some in each frame. */
  move() {
    this.hideCard();
    this.isMoving = true;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      this.isMoving = false;
      this.last = 0;
      this.paint();
    }, 140);
    this.paint();
  }

  paint() {
    if (this.isPending || !this.view || !this.grid) return;
    this.isPending = true;
    requestAnimationFrame((now) => {
      this.isPending = false;
      const took = now - this.last;
      // A frame that took too long: fewer points in the next, of a fair sample; more again where there is time.
      if (this.isMoving && this.last && took < 3000) this.adapt(took);
      this.last = this.isMoving ? now : 0;
      this.drawNow();
    });
  }

  /** Paint what lies over the points alone. */
  paintOver() {
    if (this.isPending || this.isOverPending || !this.view || !this.grid) return;
    this.isOverPending = true;
    requestAnimationFrame(() => {
      this.isOverPending = false;
      this.drawOver();
    });
  }

  adapt(took) {
    const factor = took > FRAME_MS * 1.1 ? Math.max(0.05, (FRAME_MS * 0.8) / took) : took < FRAME_MS * 0.6 ? 1.2 : 1;
    this.budget = Math.max(LEAST, Math.min(this.budget, this.points.count) * factor);
  }

  /** Draw the next points over those that are there, unless something else was drawn since: more in each frame while there is time. */
  refine(frame, first, most = Math.max(this.budget, SAMPLE), last = 0) {
    requestAnimationFrame((now) => {
      if (frame !== this.frame) return;
      const next = last && now - last > STEP_MS ? most : Math.min(2 * most, 4 * SAMPLE);
      this.points.draw(this.drawn, this.dot, first, Math.ceil(next));
      if (first + next < this.points.count) this.refine(frame, first + Math.ceil(next), next, now);
    });
  }

  drawNow() {
    const count = this.points.count;
    const zoomed = Math.sqrt(this.view.scale / this.whole);
    const base = (count > 300000 ? 1.4 : count > 50000 ? 2 : count > 5000 ? 3.5 : 6) * Math.max(1, Math.min(...this.size) / 900);
    this.dot = Math.min(Math.max(base * Math.min(zoomed, 6), 1), 14) * this.ratio;
    this.points.background = getComputedStyle(this.canvas.parentElement).backgroundColor.match(/[\d.]+/g).slice(0, 3).map((part) => part / 255);
    this.drawn = { ...this.view, scale: this.view.scale * this.ratio };
    const most = Math.ceil(Math.min(this.budget, count));
    this.points.draw(this.drawn, this.dot, 0, most);
    this.frame = {};
    if (!this.isMoving && most < count) this.refine(this.frame, most);
    this.placeNames();
    this.drawOver();
  }

  placeNames() {
    const taken = [];
    const [width, height] = this.size;
    [...this.names.children].forEach((label, place) => {
      const cluster = this.clusters[place];
      const [px, y] = this.toPixel(cluster.x, cluster.y);
      label.cachedWidth ||= label.offsetWidth;
      const half = label.cachedWidth / 2;
      // A name at the edge is moved in, whole.
      const x = px > 0 && px < width ? Math.max(half + 4, Math.min(px, width - half - 4)) : px;
      const box = [x - half - 4, y - 15, x + half + 4, y + 15];
      const isFree =
        x > -half && y > 0 && x < width + half && y < height &&
        taken.every((other) => box[2] < other[0] || other[2] < box[0] || box[3] < other[1] || other[3] < box[1]);
      label.style.visibility = isFree ? "visible" : "hidden";
      if (!isFree) return;
      taken.push(box);
      label.style.transform = `translate(${x - half}px, ${y - 13}px)`;
    });
  }

  /** Draw pictures where there is room for them, and the loop. */
  drawOver() {
    const pen = this.over.getContext("2d");
    let isEmpty = true;
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, ...this.size);
    const [x0, y1] = this.toPlace(0, 0);
    const [x1, y0] = this.toPlace(...this.size);
    const seen = this.grid.within(x0, y0, x1, y1, 4000);
    if (seen && seen.length) {
      const taken = new Set();
      const shown = [];
      for (const point of seen) {
        const [x, y] = this.toPixel(this.places[2 * point], this.places[2 * point + 1]);
        const cell = `${Math.floor(x / CELL)},${Math.floor(y / CELL)}`;
        if (taken.has(cell)) continue;
        taken.add(cell);
        shown.push([point, (Math.floor(x / CELL) + 0.5) * CELL, (Math.floor(y / CELL) + 0.5) * CELL]);
      }
      // Not while most of them would be hidden: the points themselves tell more then.
      if (shown.length >= seen.length * 0.3) {
        isEmpty = false;
        // Points are in an order of chance: the first are spread over all of the view.
        shown.sort((one, other) => one[0] - other[0]);
        for (const one of shown.slice(0, PICTURES_AT_ONCE)) this.drawPicture(pen, ...one);
      }
    }
    if (this.loop?.length > 1) {
      pen.beginPath();
      this.loop.forEach((place) => pen.lineTo(...this.toPixel(...place)));
      if (!this.isDrawing) pen.closePath();
      pen.lineWidth = 2.5;
      pen.strokeStyle = getComputedStyle(this.over).color;
      pen.setLineDash([7, 5]);
      pen.stroke();
      pen.setLineDash([]);
      isEmpty = false;
    }
    if (this.mark) {
      const [x, y] = this.toPixel(...this.mark);
      pen.beginPath();
      pen.arc(x, y, this.dot / this.ratio / 2 + 7, 0, 2 * Math.PI);
      pen.lineWidth = 3;
      pen.strokeStyle = getComputedStyle(this.over).color;
      pen.stroke();
      isEmpty = false;
    }
    // One layer less to put together in each frame.
    this.over.style.display = isEmpty ? "none" : "";
  }

  drawPicture(pen, point, x, y) {
    const kept = this.pictures.get(point);
    if (kept === undefined) {
      if (this.isMoving) return;
      this.pictures.set(point, null);
      this.source.picture(point).then((image) => {
        this.pictures.set(point, image ?? null);
        if (image) this.paintOver();
      }, () => {});
      return;
    }
    if (!kept) return;
    const { image, sx, sy, sw, sh } = kept;
    const scale = Math.min((CELL - 12) / sw, (CELL - 12) / sh);
    const [w, h] = [sw * scale, sh * scale];
    pen.fillStyle = `rgb(${this.points.colours.subarray(3 * point, 3 * point + 3).join()})`;
    pen.fillRect(x - w / 2 - 2.5, y - h / 2 - 2.5, w + 5, h + 5);
    pen.drawImage(image, sx, sy, sw, sh, x - w / 2, y - h / 2, w, h);
  }

  /** Show what lies at a pixel; pinned, it stays until something else is pressed or the map moves, and leads to its row. */
  async showCard(x, y, isPinned = false) {
    if (this.isPinned && !isPinned) return;
    const [px, py] = this.toPlace(x, y);
    const point = this.grid.nearest(px, py, Math.max(this.dot ? this.dot / this.ratio : 0, 9) / this.view.scale);
    if (point === this.pointed && isPinned === this.isPinned) return;
    if (point < 0) return this.hideCard();
    this.pointed = point;
    this.isPinned = isPinned;
    this.card.classList.toggle("pinned", isPinned);
    const told = await this.source.describe(point);
    if (this.pointed !== point || !told) return;
    const [title, lines, frame] = ["title", "lines", "picture"].map((name) => this.card.querySelector(`[data-card="${name}"]`));
    title.textContent = told.title;
    lines.textContent = told.lines.join("\n");
    const link = this.card.querySelector("a");
    link.hidden = !(isPinned && told.href);
    if (told.href) link.href = told.href;
    frame.replaceChildren();
    const kept = await this.source.picture(point, true);
    if (this.pointed !== point) return;
    if (kept) {
      const side = 168;
      const drawn = document.createElement("canvas");
      const scale = Math.min(side / kept.sw, side / kept.sh);
      [drawn.width, drawn.height] = [kept.sw * scale * 2, kept.sh * scale * 2];
      drawn.style.width = `${kept.sw * scale}px`;
      drawn.getContext("2d").drawImage(kept.image, kept.sx, kept.sy, kept.sw, kept.sh, 0, 0, drawn.width, drawn.height);
      frame.append(drawn);
    }
    this.card.hidden = false;
    const [left, top] = this.toPixel(this.places[2 * point], this.places[2 * point + 1]);
    const [width, height] = [this.card.offsetWidth, this.card.offsetHeight];
    this.card.style.left = `${Math.max(4, Math.min(left + 14, this.size[0] - width - 4))}px`;
    this.card.style.top = `${Math.max(4, Math.min(top + 14, this.size[1] - height - 4))}px`;
  }

  hideCard() {
    this.pointed = -1;
    this.isPinned = false;
    this.card.hidden = true;
  }

  /** Return the points within the loop. */
  looped() {
    const loop = this.loop ?? [];
    const [xs, ys] = [0, 1].map((axis) => loop.map((place) => place[axis]));
    const inside = this.grid.within(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)) ?? [];
    return inside.filter((point) => {
      const [x, y] = [this.places[2 * point], this.places[2 * point + 1]];
      let isInside = false;
      for (let i = 0, j = loop.length - 1; i < loop.length; j = i++) {
        const [[ax, ay], [bx, by]] = [loop[i], loop[j]];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) isInside = !isInside;
      }
      return isInside;
    });
  }

  setLooping(isOn) {
    this.isLooping = isOn;
    this.canvas.parentElement.classList.toggle("looping", isOn);
    this.find("loop")?.setAttribute("aria-pressed", String(isOn));
  }

  clearLoop() {
    this.loop = null;
    this.source.chosen(null);
    this.paint();
  }

  listen() {
    const area = this.canvas.parentElement;
    const at = (event) => {
      const box = area.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    area.addEventListener("pointerdown", (event) => {
      if (event.button || !this.view || this.card.contains(event.target)) return;
      area.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
      this.wasDragged = false;
      this.isDrawing = (this.isLooping || event.shiftKey) && this.pointers.size === 1;
      if (this.isDrawing) this.loop = [this.toPlace(...at(event))];
    });
    area.addEventListener("pointermove", (event) => {
      if (!this.view) return;
      const before = this.pointers.get(event.pointerId);
      const now = at(event);
      if (!before) return void this.showCard(...now);
      if (this.isDrawing) {
        this.loop.push(this.toPlace(...now));
        this.paintOver();
      } else if (this.pointers.size === 2) {
        const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
        const length = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]) || 1;
        this.zoom(length(now) / length(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      } else this.pan(now[0] - before[0], now[1] - before[1]);
      this.wasDragged ||= Math.hypot(now[0] - before[0], now[1] - before[1]) > 2;
      this.pointers.set(event.pointerId, now);
    });
    const ended = (event) => {
      if (!this.pointers.delete(event.pointerId)) return;
      if (this.isDrawing) {
        this.isDrawing = false;
        this.setLooping(false);
        if (this.loop.length > 2) this.source.chosen(this.loop, this.looped());
        else this.clearLoop();
        this.paint();
      } else if (!this.wasDragged && event.type === "pointerup") this.showCard(...at(event), true);
    };
    area.addEventListener("pointerup", ended);
    area.addEventListener("pointercancel", ended);
    area.addEventListener("pointerleave", () => this.isPinned || this.hideCard());
    area.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        if (this.view) this.zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * 0.006), ...at(event));
      },
      { passive: false },
    );
    area.addEventListener("dblclick", (event) => this.view && this.zoom(STEP * STEP, ...at(event)));
    this.canvas.addEventListener("repaint", () => this.paint());
    document.addEventListener("imgvec:theme", () => this.paint());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    area.addEventListener("keydown", (event) => {
      const far = 80;
      const does = {
        "+": () => this.zoom(STEP), "=": () => this.zoom(STEP), "-": () => this.zoom(1 / STEP),
        "0": () => this.showAll(), n: () => this.showCluster((this.at ?? -1) + 1), p: () => this.showCluster((this.at ?? 0) - 1),
        ArrowLeft: () => this.pan(far, 0), ArrowRight: () => this.pan(-far, 0), ArrowUp: () => this.pan(0, far), ArrowDown: () => this.pan(0, -far),
        l: () => this.setLooping(!this.isLooping), Escape: () => { this.setLooping(false); this.hideCard(); this.clearLoop(); },
      }[event.key];
      if (!does || event.ctrlKey || event.metaKey || event.altKey || !this.view) return;
      event.preventDefault();
      does();
    });
    for (const [name, does] of Object.entries({
      in: () => this.zoom(STEP), out: () => this.zoom(1 / STEP), all: () => this.showAll(), loop: () => this.setLooping(!this.isLooping),
    })) this.find(name)?.addEventListener("click", () => this.view && does());
  }
}

/** Return a loop of places as PostgreSQL reads a polygon: as many corners as tell the shape, each to a thousandth of a unit. */
function loopCorners(loop) {
  const step = Math.max(1, Math.ceil(loop.length / 60));
  const corners = loop.filter((_, place) => place % step === 0 || loop.length < 4).map(([x, y]) => `(${x.toFixed(3)},${y.toFixed(3)})`);
  return `(${corners.join(",")})`;
}

/** Return a condition over the columns of the map for a loop of places. */
function loopCondition(loop, alias = "") {
  return `polygon '${loopCorners(loop)}' @> point(${alias}x, ${alias}y)`;
}

/** Fill the list of clusters: each a button that shows it. */
function listClusters(view, list, clusters) {
  list.replaceChildren(
    ...clusters.map((cluster, place) => {
      const [item, button, dot, name, count] = ["li", "button", "i", "span", "small"].map((kind) => document.createElement(kind));
      button.type = "button";
      dot.style.background = cluster.colour;
      name.textContent = cluster.name;
      count.textContent = cluster.rows.toLocaleString("en");
      button.append(dot, name, count);
      button.addEventListener("click", () => view.showCluster(place));
      item.append(button);
      return item;
    }),
  );
}

/** Read a map as the server and the file give it: a length, JSON, then places, numbers of clusters, colours. */
function readMap(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const places = new Float32Array(buffer, at, head.count * 2);
  at += places.byteLength;
  const numbers = new Uint16Array(buffer, at, head.count);
  at += numbers.byteLength;
  const colours = new Uint8Array(buffer, at, head.count * 3);
  return { ...head, places, numbers, colours };
}
