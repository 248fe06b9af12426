-- What the library knows of these uris: the row's id, its hash, and size and time of the file when it was read.
SELECT i.uri, i.id, i.content_hash, i.attributes -> 'file_size' AS file_size, i.attributes -> 'file_mtime_ns' AS file_mtime_ns
FROM imgvec.image AS i WHERE i.uri = ANY (%(uris)s);
