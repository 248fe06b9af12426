-- Whether there is a table of this name, that of a collection's pictures.
SELECT to_regclass(%(table)s) IS NOT NULL;
