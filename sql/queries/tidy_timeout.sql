-- How long each statement of this session may take; null for as long as before.
SELECT set_config('statement_timeout', %(timeout)s::text, false);
