-- Tables that carry any of these triggers, and how many of them.
SELECT n.nspname, c.relname, count(*)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE t.tgname = ANY (%(trigger_names)s) AND NOT t.tgisinternal
GROUP BY 1, 2 ORDER BY 1, 2;
