-- The weighted sum of vectors, as text.
SELECT imgvec.combine(%(embeddings)s::{vector}.halfvec[], %(weights)s::float8[])::text;
