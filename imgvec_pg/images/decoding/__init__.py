"""Encoded bytes to RGB pixels, in sandboxed child processes."""
