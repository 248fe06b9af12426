-- Refuses NULL for distinct_pictures ($4).
IF $4 IS NULL THEN
    RAISE null_value_not_allowed USING MESSAGE = 'distinct_pictures is NULL', HINT = 'Pass true or false, or leave it out.';
END IF;
