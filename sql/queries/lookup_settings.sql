-- For a transaction that looks pictures up (find_known.sql), or a session that does nothing else: by the index alone, since of a table
-- with few different pictures PostgreSQL expects the first row to be a hit, and would read it all for another picture; one plan however
-- many are asked for; keys as the triggers write them (read_like_triggers.sql); and short waits. Milliseconds.
SELECT set_config('enable_seqscan', 'off', %(is_local)s), set_config('plan_cache_mode', 'force_generic_plan', %(is_local)s),
       set_config('search_path', 'pg_catalog, pg_temp', %(is_local)s),
       set_config('timezone', 'UTC', %(is_local)s), set_config('datestyle', 'ISO', %(is_local)s), set_config('intervalstyle', 'iso_8601', %(is_local)s),
       set_config('bytea_output', 'hex', %(is_local)s), set_config('extra_float_digits', '1', %(is_local)s), set_config('lc_monetary', 'C', %(is_local)s),
       set_config('statement_timeout', %(statement_ms)s::text, %(is_local)s), set_config('lock_timeout', %(lock_ms)s::text, %(is_local)s);
