-- The state of a shard's collections as imgvec.status has it; run there.
SELECT (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) ORDER BY s.collection) FROM imgvec.status AS s)::text
