-- The lock under which pictures of a collection are removed, where no transaction that needs some holds it (picture_trigger_functions.sql).
SELECT pg_try_advisory_xact_lock(1768777079, %(collection_id)s);
