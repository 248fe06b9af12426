"""The bytes of an image: from a file, a URL, object storage or a function of the application."""
