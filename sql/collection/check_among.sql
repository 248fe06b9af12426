-- Refuses NULL for among: array_agg() over no rows gives it, whose caller wanted no row, not all. That it was left out is told by
-- its default, a NULL at a place where no array begins by accident; is_filtered is whether it was given.
IF {among} IS NULL THEN
    RAISE null_value_not_allowed USING MESSAGE = 'among is NULL, which is no list of keys',
        HINT = 'array_agg over no rows is NULL: pass ARRAY(SELECT ...), which is empty then and finds nothing. To look at all rows leave among out.';
END IF;
is_filtered := array_lower({among}, 1) IS DISTINCT FROM {left_out};
