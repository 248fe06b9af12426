"""`imgvec demo`."""
