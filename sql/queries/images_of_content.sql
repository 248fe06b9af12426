-- The library's rows of these contents that stand for files, the oldest first.
SELECT i.content_hash, i.id, i.uri
FROM imgvec.image AS i WHERE i.content_hash = ANY (%(content_hashes)s) AND i.uri IS NOT NULL
ORDER BY i.id;
