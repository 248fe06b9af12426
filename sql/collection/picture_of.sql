-- What tells the picture of a row e from others: the hash of its bytes, or where nobody knows these, the vector's own.
CASE WHEN octet_length(e.content_hash) IN (0, 33) THEN decode('00', 'hex') || sha256({vector}.halfvec_send(e.embedding)) ELSE e.content_hash END
