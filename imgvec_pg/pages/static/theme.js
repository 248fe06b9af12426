// Light, dark, or as the system has it. Runs before the page is painted, so that nothing flashes.
"use strict";
(() => {
  const root = document.documentElement;
  root.dataset.script = ""; // what only a script opens may be closed
  const read = () => {
    try {
      return localStorage.getItem("imgvec-theme");
    } catch {
      return null; // a browser that keeps nothing
    }
  };
  if (read()) root.dataset.theme = read();
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-switch-theme]")) return;
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    try {
      localStorage.setItem("imgvec-theme", root.dataset.theme);
    } catch {
      // It holds for this page only.
    }
    document.dispatchEvent(new CustomEvent("imgvec:theme"));
  });
})();
