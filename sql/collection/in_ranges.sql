EXISTS (
    SELECT FROM ROWS FROM (
        jsonb_to_recordset(%(lows)s::jsonb) AS ({key_definitions}), jsonb_to_recordset(%(highs)s::jsonb) AS ({key_definitions})
    ) AS r({bounds})
    WHERE ({own}) >= ({lows}) AND ({own}) <= ({highs})
)
