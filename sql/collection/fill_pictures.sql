-- The pictures of embedded rows that are not among the pictures yet.
INSERT INTO imgvec.{picture_table} (content_hash, embedding)
SELECT e.content_hash, e.embedding FROM imgvec.{embedding_table} AS e
WHERE e.content_hash <> ''
  AND NOT EXISTS (SELECT FROM imgvec.{picture_table} AS p
                  WHERE p.content_hash = e.content_hash AND NOT {vector}.halfvec_ne(p.embedding, e.embedding))
ON CONFLICT DO NOTHING;
