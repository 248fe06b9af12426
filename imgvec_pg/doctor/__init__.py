"""`imgvec doctor`: checks of the server, the sources, the index and the queue, and of one query."""
