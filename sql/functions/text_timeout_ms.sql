-- imgvec.text_timeout_ms(): how long a query waits for words or a picture to be embedded, in milliseconds: the setting
-- imgvec.text_timeout, an interval such as '500 ms' or '5 s', 2 seconds where it is not set.
CREATE FUNCTION imgvec.text_timeout_ms() RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    setting text := coalesce(nullif(current_setting('imgvec.text_timeout', true), ''), '2 s');
    milliseconds numeric;
BEGIN
    IF pg_input_is_valid(setting, 'interval') THEN
        milliseconds := extract(epoch FROM setting::interval) * 1000;
    END IF;
    IF milliseconds BETWEEN 1 AND 600000 THEN
        RETURN milliseconds;
    END IF;
    RAISE invalid_parameter_value USING MESSAGE = format('imgvec.text_timeout is "%s", expected 1 ms to 10 min', left(setting, 80)),
        HINT = 'SET imgvec.text_timeout = ''5 s''';
END
$function$;
REVOKE ALL ON FUNCTION imgvec.text_timeout_ms() FROM PUBLIC;
