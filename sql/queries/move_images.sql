-- Give files that were moved their new paths; gives the paths written. A row that others changed meanwhile is left alone. The
-- triggers see that the content is the same as was embedded, and enqueue nothing.
UPDATE imgvec.image AS i
SET uri = w.uri,
    attributes = i.attributes || pg_catalog.jsonb_build_object('file_size', w.file_size, 'file_mtime_ns', w.file_mtime_ns)
FROM unnest(%(ids)s::bigint[], %(old_uris)s::text[], %(uris)s::text[], %(sizes)s::bigint[], %(mtimes)s::bigint[])
    AS w(id, old_uri, uri, file_size, file_mtime_ns)
WHERE i.id = w.id AND i.uri = w.old_uri
RETURNING i.uri;
