// The address bar holds a page's whole state: read it, write it, hear of back and forward. And what a theme makes of a colour.

/** Return the state as URLSearchParams of its own. */
export function readAddress() {
  return new URLSearchParams(location.search);
}

/** Write a state: empty values are left out. A new entry of the history, or with {replace: true} the present one. */
export function writeAddress(parameters, { replace = false } = {}) {
  const kept = new URLSearchParams([...parameters].filter(([, value]) => value.trim() !== ""));
  const address = location.pathname + (kept.size ? `?${kept}` : "");
  if (address === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
}

/** Call back with the state after back and forward. */
export function onAddressChange(callback) {
  addEventListener("popstate", () => callback(readAddress()));
}

/** Return a design token's colour, such as "--category-1", as the present theme has it: "rgb(63, 144, 218)". For canvas and WebGL. */
export function themeColour(token) {
  const probe = document.createElement("span");
  probe.style.color = `var(${token})`;
  probe.hidden = true;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** Call back when the theme changes, by the switch or by the system. */
export function onThemeChange(callback) {
  document.addEventListener("imgvec:theme", callback);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", callback);
}
