-- What the library knows of these uris: hash, and size and time of the file when it was read.
SELECT i.uri, i.content_hash, i.attributes -> 'file_size' AS file_size, i.attributes -> 'file_mtime_ns' AS file_mtime_ns
FROM imgvec.image AS i WHERE i.uri = ANY (%(uris)s);
