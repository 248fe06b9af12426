"""Radius indexes: coordinates of each row along a few axes, by which within_* know what cannot be near."""
