-- Nothing: whether PostgreSQL takes a rule that chooses keepers, an expression over the source's columns.
SELECT FROM (SELECT {rule} FROM {source}) AS s WHERE false
