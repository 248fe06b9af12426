-- Change settings by name, of this session or, with is_local, of this transaction, and say what they were before; names that
-- this server does not have are left out.
SELECT s.name, pg_catalog.current_setting(s.name) AS before, pg_catalog.set_config(s.name, s.value, %(is_local)s)
FROM ROWS FROM (pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(values)s::text[])) AS s(name, value)
WHERE pg_catalog.current_setting(s.name, true) IS NOT NULL;
