-- Take rows out of the library; their embeddings go with them. Gives how many. A row whose path changed meanwhile stays.
WITH forgotten AS (
    DELETE FROM imgvec.image AS i
    USING unnest(%(ids)s::bigint[], %(uris)s::text[]) AS w(id, uri)
    WHERE i.id = w.id AND i.uri = w.uri
    RETURNING 1
)
SELECT count(*) FROM forgotten;
