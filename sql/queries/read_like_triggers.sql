-- For this transaction: all rows of the source, or an error where a policy would hide some; times in keys as the
-- triggers write them; and operators such as > those of the key's own types, citext among them.
SELECT set_config('row_security', 'off', true), set_config('timezone', 'UTC', true),
       set_config('search_path', (SELECT string_agg(quote_ident(s), ', ') FROM unnest(%(schemas)s::text[]) AS s), true);
