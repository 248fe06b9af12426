"""Parts of benchmarks/fill.py."""
