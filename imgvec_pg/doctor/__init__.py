"""Checks of `imgvec doctor`: server, sources, index, queue, and the plan of one query."""
