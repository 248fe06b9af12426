-- The axes of a radius index, as vectors in text.
INSERT INTO imgvec.{axis_table} (number, axis)
SELECT a.number, a.axis::{vector}.halfvec FROM unnest(%(axes)s::text[]) WITH ORDINALITY AS a(axis, number);
