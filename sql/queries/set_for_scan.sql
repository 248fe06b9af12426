-- Settings of a scan, given as a JSON object of texts, for the running transaction; each with what it was, null while
-- PostgreSQL does not know it.
SELECT s.name, s.earlier, set_config(s.name, s.value, true)
-- OFFSET keeps the two apart: first what they were.
FROM (SELECT w.key AS name, w.value, current_setting(w.key, true) AS earlier
      FROM jsonb_each_text(CAST(CAST(%(settings)s AS text) AS jsonb)) AS w
      OFFSET 0) AS s;
