"""The built-in library: image files on disk as rows of imgvec.image."""
