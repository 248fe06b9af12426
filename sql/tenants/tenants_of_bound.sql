-- The tenants of one partition, as text, from the values that PostgreSQL prints of its bound.
SELECT v.tenant::text FROM unnest(ARRAY[{values}]::{tenant_type}[]) AS v (tenant);
