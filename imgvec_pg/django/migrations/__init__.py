"""The schema imgvec, as Django migrations."""
