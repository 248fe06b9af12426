-- Embedded rows in the key's order behind %(after)s, of those embedded before %(since)s (null for all): key, version, path, whether the
-- picture lies in the row. Vectors that an application computed itself, which have no hash of bytes, are left out. What is queued is
-- not: its job may be older than the embedding, and then writes nothing.
SELECT {e_key} AS key, e.version, {path} AS path, {content} IS NOT NULL AS has_content
FROM imgvec.{embedding_table} AS e JOIN {source} AS s ON {e_equals_s}
WHERE (%(since)s::timestamptz IS NULL OR e.embedded_at < %(since)s) AND octet_length(e.content_hash) NOT IN (0, 33)
  {after_condition}
ORDER BY {e_keys}
LIMIT %(page_size)s;
