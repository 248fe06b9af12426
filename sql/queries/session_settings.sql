-- What a session of imgvec relies on and the role's or database's defaults have otherwise: a row for each such setting, and
-- one with null where there is none. It is set for the session where %(backend_pid)s is the server process that answers.
-- Behind a pooler it is another (is_pooled), whose session goes on to serve others: there nothing is changed.
-- A limit that was given for this very connection (options, PGOPTIONS) stays.
SELECT p.is_pooled, o.name, o.value,
       CASE WHEN NOT p.is_pooled AND o.name IS NOT NULL THEN pg_catalog.set_config(o.name, o.value, false) END
FROM (SELECT pg_catalog.pg_backend_pid() <> %(backend_pid)s::integer AS is_pooled) AS p
LEFT JOIN (
    SELECT w.name, w.value FROM (VALUES
        -- How values are printed, and text is read. The order of day and month, and the time zone, are left alone.
        ('DateStyle', 'ISO', false), ('IntervalStyle', 'postgres', false), ('extra_float_digits', '1', false),
        ('bytea_output', 'hex', false), ('quote_all_identifiers', 'off', false), ('xmloption', 'content', false),
        ('array_nulls', 'on', false), ('standard_conforming_strings', 'on', false), ('transform_null_equals', 'off', false),
        ('check_function_bodies', 'on', false), ('row_security', 'on', false), ('exit_on_error', 'off', false),
        ('default_transaction_isolation', 'read committed', false), ('default_transaction_deferrable', 'off', false),
        -- As for pg_dump: work that takes long is no mistake here, and what must be short has limits of its own.
        ('statement_timeout', '0', true), ('lock_timeout', '0', true), ('idle_in_transaction_session_timeout', '0', true),
        ('transaction_timeout', '0', true), ('idle_session_timeout', '0', true)
    ) AS w(name, value, is_limit)
    -- Settings that this server does not have yet are null. pg_settings takes milliseconds, so only an odd limit asks it.
    WHERE NOT CASE WHEN w.name = 'DateStyle' THEN pg_catalog.starts_with(pg_catalog.current_setting(w.name), 'ISO')
                   ELSE coalesce(pg_catalog.current_setting(w.name, true), w.value) = w.value END
      AND NOT CASE WHEN w.is_limit AND pg_catalog.current_setting(w.name, true) <> w.value
                   THEN (SELECT s.source FROM pg_catalog.pg_settings AS s WHERE s.name = w.name) = 'client'
                   ELSE false END
) AS o ON true;
