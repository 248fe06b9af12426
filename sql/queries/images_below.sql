-- The library's rows of the file %(path)s and of all files below %(prefix)s, in order of path. prefix ends with a slash.
SELECT i.id, i.uri
FROM imgvec.image AS i WHERE i.uri = %(path)s OR starts_with(i.uri, %(prefix)s)
ORDER BY i.uri;
