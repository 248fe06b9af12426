"""`imgvec collection`."""
