"""A question becomes a vector, and the vector the nearest rows."""
