"""From what a row holds (a path, a URL or bytes) to a decoded RGB image: fetching and decoding."""
