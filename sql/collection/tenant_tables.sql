(SELECT tenant_table)
