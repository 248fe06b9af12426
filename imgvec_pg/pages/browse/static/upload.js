// A picture to search with: chosen, dropped or pasted.
import { fetchPart } from "./fetching.js";

const MOST_BYTES = 32 << 20;
const drop = document.getElementById("drop");

/** Call back with the name of a picture that the server keeps, or with a sentence why it does not. */
export function onUpload(taken, refused) {
  const send = async (file) => {
    if (!file) return;
    if (file.size > MOST_BYTES) {
      refused("The picture is too large; expected at most 32 MiB.");
      return;
    }
    const body = new FormData();
    body.append("image", file);
    const response = await fetchPart(location.pathname, "upload", { method: "POST", body });
    if (response.ok) {
      taken((await response.json()).picture);
      return;
    }
    const page = document.createElement("template");
    page.innerHTML = await response.text();
    refused(page.content.textContent.trim());
  };
  const chooser = document.getElementById("image");
  chooser.addEventListener("change", () => {
    send(chooser.files[0]);
    chooser.value = "";
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((item) => item.type.startsWith("image/"));
    if (file) {
      event.preventDefault();
      send(file);
    }
  });
  const hasFile = (event) => [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    drop.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    drop.hidden = true;
    send(event.dataTransfer.files[0]);
  });
}
