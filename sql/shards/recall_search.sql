-- The nearest rows to a vector as search_* gives them, of a shard or of all: the key's columns as text and the distance.
SELECT ARRAY[{e_texts}]::pg_catalog.text, e.distance FROM imgvec.{search}({query}, {k}) AS e
