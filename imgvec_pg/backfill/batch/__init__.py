"""One batch of a worker: load its images, embed them, write the outcomes."""
