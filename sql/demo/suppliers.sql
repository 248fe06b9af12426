-- Add the suppliers that are missing.
INSERT INTO shop.supplier (id, name, delivery_days)
SELECT s.id, s.name, s.delivery_days
FROM jsonb_to_recordset(%(suppliers)s::jsonb) AS s(id integer, name text, delivery_days integer)
ON CONFLICT (id) DO NOTHING;
