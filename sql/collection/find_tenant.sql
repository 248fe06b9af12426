-- Which partition has the tenant ($5), if any.
IF $5 IS NULL THEN
    RAISE null_value_not_allowed USING MESSAGE = 'no tenant is given',
        HINT = 'Say whose rows are searched: {tenant_parameter} => ...; to look at those of all use {search}.';
END IF;
-- Planned for the tenant, as its searches below: for any, PostgreSQL would lock all partitions. What asks the catalogue keeps its plans.
PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
SELECT t.tableoid INTO tenant_table FROM imgvec.{embedding_table} AS t WHERE t.{tenant} {tenant_equality} $5 LIMIT 1;
IF tenant_table IS NULL THEN
    PERFORM set_config('imgvec.last_search_strategy', 'exact', false);
    RETURN;
END IF;
PERFORM set_config('plan_cache_mode', 'force_generic_plan', true);
