-- How a shard is reached. The session there relies on no default of its database or role: keys and distances travel as text.
CREATE SERVER {server} FOREIGN DATA WRAPPER postgres_fdw {server_options};
CREATE USER MAPPING FOR CURRENT_USER SERVER {server} {mapping_options};
DO $grants$
BEGIN
    IF to_regrole('imgvec_reader') IS NOT NULL THEN
        GRANT USAGE ON FOREIGN SERVER {server} TO imgvec_reader;
    END IF;
END
$grants$;
