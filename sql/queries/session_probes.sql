-- How many lists of an IVFFlat index this session reads; 1 is pgvector's default.
SELECT coalesce(current_setting('ivfflat.probes', true), '1')::integer;
