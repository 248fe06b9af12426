(SELECT {s_keys} FROM {source} AS s {after_condition} ORDER BY {s_keys} LIMIT %(page_size)s) AS k
    JOIN {source} AS s ON {k_equals_s}
