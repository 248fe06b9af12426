-- Settings, a JSON object of names and values, for the running transaction.
SELECT set_config(key, value, true) FROM jsonb_each_text(%(settings)s::jsonb);
