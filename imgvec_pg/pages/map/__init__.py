"""The map of a collection, live."""
