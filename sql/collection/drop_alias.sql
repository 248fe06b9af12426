-- One alias, after its functions (drop_functions.sql); the collection stays.
DELETE FROM imgvec.alias WHERE name = {alias_name};
DROP TYPE IF EXISTS imgvec.{key_type};
