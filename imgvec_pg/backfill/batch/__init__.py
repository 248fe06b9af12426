"""One batch of a worker: loading its images, embedding them, writing what became of each."""
