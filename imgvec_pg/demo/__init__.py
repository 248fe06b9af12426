"""The demonstration: a small model of our own and a shop to search."""
