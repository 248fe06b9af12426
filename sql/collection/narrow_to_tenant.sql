-- The partition has other tenants' rows too: how many are this one's is what PostgreSQL estimates.
        is_narrowed := true;
        EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM imgvec.{embedding_table} AS t WHERE t.{tenant} {tenant_equality} $1'
        INTO tenant_plan USING $5;
        matching := least(matching, (tenant_plan -> 0 -> 'Plan' ->> 'Plan Rows')::double precision);
