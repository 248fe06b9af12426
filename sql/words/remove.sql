-- Undo `imgvec words setup`; the extension dblink stays, since others may use it.
DROP FUNCTION IF EXISTS imgvec.relay_request(integer, text, bytea, integer);
DROP SERVER IF EXISTS imgvec_primary CASCADE;
