// Ask the server for parts of pages; wait for one that went away, and say so.

const away = document.getElementById("away");
const FIRST_WAIT = 700; // milliseconds
const LONGEST_WAIT = 6000;
let waiting = 0;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Return the response to a request for a part of a page. While the server or its database is away it is asked again, until the signal
 * aborts; a response of another error is returned as it is.
 */
export async function fetchPart(address, part, { signal, ...options } = {}) {
  let wait = FIRST_WAIT;
  let waited = false;
  try {
    for (;;) {
      let response = null;
      try {
        response = await fetch(address, { ...options, signal, headers: { "X-Imgvec-Part": part } });
      } catch (error) {
        if (error.name === "AbortError") throw error;
      }
      if (response && response.status !== 503) return response;
      if (!waited) waiting += 1;
      waited = true;
      away.textContent = response
        ? "The database does not answer. This goes on by itself when it does."
        : "imgvec browse does not answer. This goes on when it does; after a new start open the address that it prints.";
      away.hidden = false;
      await pause(wait);
      signal?.throwIfAborted();
      wait = Math.min(2 * wait, LONGEST_WAIT);
    }
  } finally {
    if (waited) waiting -= 1;
    if (!waiting) away.hidden = true;
  }
}
