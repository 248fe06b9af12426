// Sliders over the histograms of numbers and dates. The two fields below keep the values: a slider writes into them.

const DAY = 86400000;
const STEPS = 200;

/** Make the sliders of all histograms that have none yet. */
export function makeRanges(root) {
  for (const range of root.querySelectorAll(".range:not([data-made])")) makeRange(range);
}

/** Show on sliders and bars what the fields say. */
export function showRanges(root) {
  for (const range of root.querySelectorAll(".range[data-made]")) range.show();
}

function makeRange(range) {
  const isDate = range.dataset.kind === "date";
  const read = (text) => (isDate ? Date.parse(text) / DAY : Number(text));
  const [low, high] = [read(range.dataset.low), read(range.dataset.high)];
  const [from, to] = range.closest("fieldset").querySelectorAll(".bounds input");
  if (!(high > low)) return;
  const step = niceStep((high - low) / STEPS, isDate);
  const write = (value) => (isDate ? new Date(value * DAY).toISOString().slice(0, 10) : String(Number(value.toFixed(decimals(step)))));
  const sliders = [from, to].map((field, side) => {
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: Math.ceil((high - low) / step), step: 1 });
    const name = range.closest("fieldset").querySelector("legend").textContent;
    slider.setAttribute("aria-label", `${name}, ${side ? "highest" : "lowest"}`);
    slider.addEventListener("input", () => {
      const other = Number(sliders[1 - side].value);
      const at = side ? Math.max(Number(slider.value), other) : Math.min(Number(slider.value), other);
      slider.value = at;
      const isEnd = at === (side ? Number(slider.max) : 0);
      field.value = isEnd ? "" : write(low + at * step);
      range.show();
      field.dispatchEvent(new Event("input", { bubbles: true }));
    });
    range.append(slider);
    return slider;
  });
  const bars = [...range.querySelectorAll("rect")];
  range.show = () => {
    const lowest = from.value === "" ? low : read(from.value);
    const highest = to.value === "" ? high : read(to.value);
    sliders[0].value = Math.round((lowest - low) / step);
    sliders[1].value = to.value === "" ? sliders[1].max : Math.round((highest - low) / step);
    for (const [slider, value] of [[sliders[0], lowest], [sliders[1], highest]]) slider.setAttribute("aria-valuetext", write(value));
    bars.forEach((bar, number) => {
      const [begin, end] = [number, number + 1].map((place) => low + (place * (high - low)) / bars.length);
      bar.classList.toggle("in", end > lowest && begin < highest);
    });
  };
  range.dataset.made = "";
  range.show();
}

function niceStep(width, isDate) {
  if (isDate) return Math.max(1, Math.round(width));
  const power = 10 ** Math.floor(Math.log10(width));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= width * 0.999);
}

function decimals(step) {
  return Math.max(0, Math.min(10, Math.ceil(-Math.log10(step) + 1)));
}
