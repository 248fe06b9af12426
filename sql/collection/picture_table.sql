-- The different pictures of a collection: each vector once that rows have for one picture, so that an HNSW index over them holds no copies.
-- Rows find theirs by content_hash; where an application computed a vector itself, which nobody knows of what bytes it is, that is a
-- zero byte and the SHA-256 of the vector (picture_trigger_functions.sql). One picture has several vectors where some were computed at another precision, or
-- before its rendering changed.
CREATE TABLE IF NOT EXISTS imgvec.{picture_table} (
    content_hash bytea NOT NULL,
    embedding {vector}.halfvec({dimensions}) NOT NULL
)
{vacuum_settings};
-- A vector itself is too long for a B-tree. Vectors of one hash are the model's: nobody can choose two that collide.
CREATE UNIQUE INDEX IF NOT EXISTS {picture_key} ON imgvec.{picture_table}
    (content_hash, hashbyteaextended({vector}.halfvec_send(embedding), 0));
COMMENT ON TABLE imgvec.{picture_table} IS {comment};
