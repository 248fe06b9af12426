// Tell while the server loads the model, and what is wrong where it cannot.

const WAIT = 1000; // milliseconds

/** Follow the state that the page was sent with until the model is there, or cannot be. */
export async function watchModel() {
  const note = document.getElementById("model");
  while (note?.dataset.state === "loading") {
    await new Promise((resolve) => setTimeout(resolve, WAIT));
    try {
      const response = await fetch("model");
      if (!response.ok) return;
      const { state, problem } = await response.json();
      note.dataset.state = state;
      if (state === "ready") note.remove();
      else if (state === "failed") note.textContent = `Words and pictures cannot be asked with: ${problem}`;
    } catch {
      // The server is away: a request of the page's tells so.
    }
  }
}
