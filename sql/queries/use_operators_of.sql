-- For this transaction, let operators such as > be those of these schemas' types, citext among them.
SELECT set_config('search_path', (SELECT string_agg(quote_ident(s), ', ') FROM unnest(%(schemas)s::text[]) AS s), true);
