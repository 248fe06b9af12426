WHEN embedded_bytes <= {max_table_bytes} THEN ({max_scan_share} * {compare_key} * matching - coalesce({list_start}, {start_scan})) / coalesce({list_candidate}, {visit_candidate})
