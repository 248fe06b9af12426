-- The distances of the nearest rows to one row, by n.distance through the index or by n.distance + 0 without it.
SELECT n.distance
FROM {near_call} AS n {join}
ORDER BY {order}
LIMIT %(k)s;
