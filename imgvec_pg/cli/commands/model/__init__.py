"""`imgvec model`."""
