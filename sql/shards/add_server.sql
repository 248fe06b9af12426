-- How a shard is reached. The session there relies on no default of its database or role: keys and distances travel as text.
-- As whom, add_mapping.sql says in a statement of its own: that of an error stands in the server's log, with its password.
CREATE SERVER {server} FOREIGN DATA WRAPPER postgres_fdw {server_options};
DO $grants$
BEGIN
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT USAGE ON FOREIGN SERVER {server} TO imgvec_reader;
    END IF;
END
$grants$;
