-- A collection's model, its source's name, and whether that is the relation asked about.
SELECT m.name, coalesce(c.source::regclass::text, '(dropped)'),
       c.source::oid IS NOT DISTINCT FROM to_regclass(nullif(CAST(:source AS text), ''))::oid
FROM imgvec.collection AS c JOIN imgvec.model AS m ON m.id = c.model_id WHERE c.name = :name;
