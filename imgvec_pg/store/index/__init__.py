"""Indexes by distance: their DDL, building them, replacing them online."""
