-- Where a search puts the rows that it has compared.
CREATE TEMP TABLE imgvec_compared (number integer, key_text text, version bigint, microseconds bigint) ON COMMIT DROP
