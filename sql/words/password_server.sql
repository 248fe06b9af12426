-- The relay's second session by a foreign server and a user mapping with a password: for owners who are no superusers.
-- Whose password that is, password_mapping.sql says in a statement of its own: that of an error stands in the server's log.
-- dblink lets them connect only where the server really asks for that password (pg_hba.conf: scram-sha-256).
DROP SERVER IF EXISTS imgvec_primary CASCADE;
CREATE SERVER imgvec_primary FOREIGN DATA WRAPPER dblink_fdw OPTIONS (
    host {host}, port {port}, dbname {dbname},
    application_name 'imgvec words', connect_timeout '2', options {session_options}
);
