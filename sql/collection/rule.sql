-- Nothing: whether PostgreSQL takes a rule that chooses keepers: one value a row (in CASE no set may be), beside the key (no aggregate), that has an order.
SELECT FROM (SELECT {keys}, CASE WHEN true THEN {rule} END AS imgvec_rule FROM {source}) AS s WHERE false ORDER BY s.imgvec_rule
