// One key for each decision: the button or link that names the key in data-key is pressed.
"use strict";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.target.matches("input, textarea, select")) return;
  // In the statement arrows scroll.
  if (event.key === "ArrowRight" && event.target.matches("pre")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  for (const control of document.querySelectorAll("[data-key]")) {
    if (control.dataset.key === key) {
      event.preventDefault();
      control.click();
      return;
    }
  }
});
