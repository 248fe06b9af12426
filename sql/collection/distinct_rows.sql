-- Candidates for distinct_found.sql: the rows nearest by the index.
SELECT {e_keys}, e.content_hash AS imgvec_hash, {picture_of} AS imgvec_picture, e.embedding OPERATOR({vector}.<=>) $1 AS distance
FROM {searched_rows} AS e
ORDER BY e.embedding OPERATOR({vector}.<=>) $1
LIMIT scanned
