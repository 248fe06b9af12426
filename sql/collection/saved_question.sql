-- Rows that a function of the collection gives, in its order, joined with their source: the key as a JSON object, the distance (0 to 2), the
-- asked columns. What is asked ends in a call; rows that the role does not see in the source are left out.
SELECT {n_key}, n.distance{shown}
FROM {asked} WITH ORDINALITY AS n
JOIN (SELECT {wanted} FROM {source}) AS s ON {n_equals_s}
ORDER BY n.ordinality;
