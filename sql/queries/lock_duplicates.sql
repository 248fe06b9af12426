-- Whether this transaction is the only search for the duplicates of a collection. It is idle meanwhile, so a limit for that is lifted.
SELECT pg_try_advisory_xact_lock(1768777079, %(collection_id)s),
       set_config('idle_in_transaction_session_timeout', '0', true)
