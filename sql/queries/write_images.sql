-- Add images to the library or bring them up to date; attributes of other making stay. The triggers file those
-- whose content_hash is new.
INSERT INTO imgvec.image AS i (uri, media_type, width, height, taken_at, attributes, content_hash)
SELECT w.uri, w.media_type, w.width, w.height, w.taken_at,
       pg_catalog.jsonb_build_object('file_size', w.file_size, 'file_mtime_ns', w.file_mtime_ns), w.content_hash
FROM unnest(
    %(uris)s::text[], %(media_types)s::text[], %(widths)s::integer[], %(heights)s::integer[], %(taken_at)s::timestamptz[],
    %(sizes)s::bigint[], %(mtimes)s::bigint[], %(content_hashes)s::bytea[]
) AS w(uri, media_type, width, height, taken_at, file_size, file_mtime_ns, content_hash)
ORDER BY w.uri
ON CONFLICT (uri) DO UPDATE
    SET media_type = excluded.media_type, width = excluded.width, height = excluded.height,
        taken_at = excluded.taken_at, attributes = i.attributes || excluded.attributes,
        content_hash = excluded.content_hash;
