-- An index, valid or left over from a build that was cut off.
DROP INDEX {concurrently} IF EXISTS {index};
