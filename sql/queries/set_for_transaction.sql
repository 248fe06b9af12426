-- Settings, a JSON object of names and values, for the running transaction: of each its name and what it was, null while
-- PostgreSQL does not know it.
SELECT s.name, s.earlier, set_config(s.name, s.value, true)
-- OFFSET keeps the two apart: first what it was.
FROM (SELECT key AS name, value, current_setting(key, true) AS earlier
      FROM jsonb_each_text(%(settings)s::jsonb) OFFSET 0) AS s;
