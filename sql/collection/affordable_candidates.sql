WHEN embedded_bytes <= {max_table_bytes} THEN ({max_scan_share} * {compare_key} * matching - {start_scan}) / {visit_candidate}
