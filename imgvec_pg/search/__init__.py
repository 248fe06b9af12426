"""A query becomes a vector, and the vector the nearest rows."""
