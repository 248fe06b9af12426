"""Draws the demo's pictures, trains its model and measures it; not part of the package."""
