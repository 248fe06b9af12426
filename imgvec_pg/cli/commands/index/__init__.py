"""`imgvec index`."""
