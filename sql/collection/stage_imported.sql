-- Where COPY may not write the embedding table itself, for this transaction alone.
CREATE TEMPORARY TABLE imgvec_imported ON COMMIT DROP AS
SELECT {keys}, embedding, version, content_hash, reference_hash, precision FROM imgvec.{embedding_table} WITH NO DATA;
