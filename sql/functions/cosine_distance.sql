-- imgvec.cosine_distance(a, b): a <=> b, 0 to 2, lower is nearer, wherever the extension lives: an ORM that writes the operator cannot know
-- its schema. PostgreSQL puts the operator in its place as it plans (one expression, each argument once), so that an HNSW index gives the
-- order. IMMUTABLE.
CREATE OR REPLACE FUNCTION imgvec.cosine_distance(a {vector}.halfvec, b {vector}.halfvec) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN a OPERATOR({vector}.<=>) b;
REVOKE ALL ON FUNCTION imgvec.cosine_distance({vector}.halfvec, {vector}.halfvec) FROM PUBLIC;
