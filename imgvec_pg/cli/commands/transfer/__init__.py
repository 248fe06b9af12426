"""`imgvec import` and `imgvec export`."""
