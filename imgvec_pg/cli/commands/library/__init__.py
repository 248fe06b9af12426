"""`imgvec library`."""
