// Points of a plane in WebGL: one buffer of places, one of colours, one draw a frame. And where they are: a grid to find them by.
"use strict";

const VERTEX = `
attribute vec2 place; attribute vec3 colour; uniform vec4 view; uniform float size; varying vec3 shade;
void main() { gl_Position = vec4((place - view.xy) * view.zw, 0.0, 1.0); gl_PointSize = size; shade = colour; }`;
const FRAGMENT = `
precision mediump float; varying vec3 shade; uniform float round;
void main() {
  vec2 off = gl_PointCoord - 0.5;
  if (round > 0.5 && dot(off, off) > 0.25) discard;
  gl_FragColor = vec4(shade, 1.0);
}`;

/** Draws points. Those are in an order of chance, so that the first of them are a fair sample of all while the map moves. */
class PointCanvas {
  constructor(canvas) {
    this.canvas = canvas;
    this.count = 0;
    this.gl = canvas.getContext("webgl", { antialias: false, alpha: false, depth: false, stencil: false, preserveDrawingBuffer: true });
    if (this.gl) this.prepare();
    else this.flat = canvas.getContext("2d");
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.prepare();
      if (this.places) this.load(this.places, this.colours);
      this.canvas.dispatchEvent(new Event("repaint"));
    });
  }

  prepare() {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "place");
    gl.bindAttribLocation(program, 1, "colour");
    gl.linkProgram(program);
    gl.useProgram(program);
    this.at = Object.fromEntries(["view", "size", "round"].map((name) => [name, gl.getUniformLocation(program, name)]));
    this.buffers = [gl.createBuffer(), gl.createBuffer()];
  }

  /** Take places (Float32Array, x and y by turns) and colours (Uint8Array, red, green, blue by turns). */
  load(places, colours) {
    this.places = places;
    this.colours = colours;
    this.count = places.length / 2;
    if (!this.gl) return;
    const gl = this.gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[0]);
    gl.bufferData(gl.ARRAY_BUFFER, places, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[1]);
    // Four bytes each: drivers copy a buffer whose elements are not aligned, in each frame.
    const aligned = new Uint8Array(this.count * 4);
    for (let i = 0; i < this.count; i++) for (let part = 0; part < 3; part++) aligned[4 * i + part] = colours[3 * i + part];
    gl.bufferData(gl.ARRAY_BUFFER, aligned, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(1);
    gl.vertexAttribPointer(1, 3, gl.UNSIGNED_BYTE, true, 4, 0);
  }

  /**
   * Draw points from one on: from the first on an empty canvas, from a later one over those drawn before, which stay.
   * view: {x, y, scale}: the place in the middle, and pixels of the canvas for each unit; size in pixels.
   */
  draw(view, size, first = 0, most = this.count) {
    const count = Math.min(most, this.count - first);
    const { width, height } = this.canvas;
    if (!this.gl) return first ? undefined : this.drawFlat(view, size, Math.min(count, 60000));
    const gl = this.gl;
    gl.viewport(0, 0, width, height);
    if (!first) {
      gl.clearColor(...(this.background ?? [1, 1, 1]), 1);
      gl.clear(gl.COLOR_BUFFER_BIT);
    }
    gl.uniform4f(this.at.view, view.x, view.y, (2 * view.scale) / width, (2 * view.scale) / height);
    gl.uniform1f(this.at.size, size);
    gl.uniform1f(this.at.round, size > 2.5 ? 1 : 0);
    gl.drawArrays(gl.POINTS, first, count);
  }

  /** Return how many milliseconds a frame takes, its pixels included. */
  time(draw) {
    const before = performance.now();
    draw();
    if (this.gl) this.gl.readPixels(0, 0, 1, 1, this.gl.RGBA, this.gl.UNSIGNED_BYTE, new Uint8Array(4));
    return performance.now() - before;
  }

  /** The same without WebGL, of a sample. */
  drawFlat(view, size, count) {
    const { width, height } = this.canvas;
    this.flat.clearRect(0, 0, width, height);
    for (let i = 0; i < count; i++) {
      const x = (this.places[2 * i] - view.x) * view.scale + width / 2;
      const y = (view.y - this.places[2 * i + 1]) * view.scale + height / 2;
      if (x < 0 || y < 0 || x > width || y > height) continue;
      this.flat.fillStyle = `rgb(${this.colours.subarray(3 * i, 3 * i + 3).join()})`;
      this.flat.fillRect(x - size / 2, y - size / 2, size, size);
    }
  }
}

/** Finds points by place: a grid of cells, each with the numbers of its points. */
class PlaceGrid {
  constructor(places) {
    this.places = places;
    const count = places.length / 2;
    this.low = [Infinity, Infinity];
    this.high = [-Infinity, -Infinity];
    for (let i = 0; i < places.length; i++) {
      const axis = i & 1;
      if (places[i] < this.low[axis]) this.low[axis] = places[i];
      if (places[i] > this.high[axis]) this.high[axis] = places[i];
    }
    this.side = Math.max(1, Math.min(1024, Math.ceil(Math.sqrt(count / 4))));
    this.step = [0, 1].map((axis) => Math.max((this.high[axis] - this.low[axis]) / this.side, 1e-9));
    this.starts = new Uint32Array(this.side * this.side + 1);
    const cell = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      cell[i] = this.cellOf(places[2 * i], 0) + this.side * this.cellOf(places[2 * i + 1], 1);
      this.starts[cell[i] + 1]++;
    }
    for (let i = 1; i < this.starts.length; i++) this.starts[i] += this.starts[i - 1];
    const next = this.starts.slice();
    this.points = new Uint32Array(count);
    for (let i = 0; i < count; i++) this.points[next[cell[i]]++] = i;
  }

  cellOf(value, axis) {
    return Math.max(0, Math.min(this.side - 1, Math.floor((value - this.low[axis]) / this.step[axis])));
  }

  /** Return the numbers of points within a rectangle, `most` of them at most; null where there are more. */
  within(x0, y0, x1, y1, most = Infinity) {
    const found = [];
    if (!this.points.length || x1 < this.low[0] || y1 < this.low[1] || x0 > this.high[0] || y0 > this.high[1]) return found;
    const [left, right] = [this.cellOf(x0, 0), this.cellOf(x1, 0)];
    const [bottom, top] = [this.cellOf(y0, 1), this.cellOf(y1, 1)];
    for (let row = bottom; row <= top; row++) {
      const [from, to] = [this.starts[row * this.side + left], this.starts[row * this.side + right + 1]];
      for (let i = from; i < to; i++) {
        const point = this.points[i];
        const [x, y] = [this.places[2 * point], this.places[2 * point + 1]];
        if (x < x0 || x > x1 || y < y0 || y > y1) continue;
        if (found.length >= most) return null;
        found.push(point);
      }
    }
    return found;
  }

  /** Return the number of the point nearest to a place, within a distance; -1 where there is none. */
  nearest(x, y, distance) {
    let [best, least] = [-1, distance * distance];
    for (const point of this.within(x - distance, y - distance, x + distance, y + distance) ?? []) {
      const square = (this.places[2 * point] - x) ** 2 + (this.places[2 * point + 1] - y) ** 2;
      if (square <= least) [best, least] = [point, square];
    }
    return best;
  }
}
