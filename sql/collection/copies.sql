-- imgvec.copies_<collection>(): each embedded row with its picture (SHA-256 of the bytes), how many rows have the same one, and when
-- the first of them was embedded. Of the rows that the role who asks may see: a picture that only hidden rows have is nowhere, and they do
-- not count. STABLE, and inlined into the caller's query: a count that is not asked for costs nothing, one for few rows goes by
-- the index. Vectors that an application computed itself, which have no hash of bytes, are left out.
-- A key column that is called picture, copies or first_seen keeps its name, and the other has _ behind it.
-- As text, not as a body that PostgreSQL parses, so that imgvec migrate sees that an earlier release's collections lack it.
{create} imgvec.{copies}()
RETURNS TABLE ({key_definitions}, {picture_column} bytea, {copies_column} bigint, {first_seen_column} timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
AS $copies$
    SELECT {e_keys}, e.content_hash,
           (SELECT pg_catalog.count(*) FROM imgvec.{embedding_table} AS o WHERE o.content_hash OPERATOR(pg_catalog.=) e.content_hash),
           (SELECT pg_catalog.min(o.embedded_at) FROM imgvec.{embedding_table} AS o WHERE o.content_hash OPERATOR(pg_catalog.=) e.content_hash)
    FROM imgvec.{embedding_table} AS e
    WHERE pg_catalog.octet_length(e.content_hash) OPERATOR(pg_catalog.<>) ALL ('{{0,33}}'::pg_catalog.int4[])
$copies$;
