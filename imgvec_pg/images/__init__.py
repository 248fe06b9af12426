"""From what a row holds (a path or bytes) to a decoded RGB picture."""
