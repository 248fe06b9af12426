"""Embedding models: images and text to vectors of norm 1. The only package that imports torch."""
