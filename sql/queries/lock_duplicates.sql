-- Whether this transaction is the only search for the duplicates of a collection. It is idle meanwhile, for as long as that takes, so limits for
-- either are lifted: transaction_timeout is there from PostgreSQL 17 on.
SELECT pg_try_advisory_xact_lock(1768777079, %(collection_id)s),
       (SELECT count(set_config(s.name, '0', true)) FROM pg_settings AS s
        WHERE s.name IN ('idle_in_transaction_session_timeout', 'transaction_timeout'))
