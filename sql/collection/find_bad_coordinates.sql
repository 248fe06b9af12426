-- Embedded rows that within_* would miss, where they ask coordinates: those without, or with others than their vector has, further away than
-- what another processor's order of adding makes (%(tolerance)s). Kind, number, up to %(examples)s keys.
SELECT 'bad_coordinates', count(*), jsonb_agg(n.key) FILTER (WHERE n.place <= %(examples)s)
FROM (
    SELECT {e_key} AS key, row_number() OVER () AS place
    FROM (SELECT ARRAY(SELECT a.axis FROM imgvec.{axis_table} AS a ORDER BY a.number) AS imgvec_axes) AS axes
    CROSS JOIN (SELECT {e_keys}, e.embedding, {vector}.l2_norm(e.embedding) AS imgvec_norm FROM imgvec.{embedding_table} AS e OFFSET 0) AS e
    LEFT JOIN imgvec.{coordinate_table} AS c ON {e_equals_c}
    WHERE (c.{coordinates_column} OPERATOR({vector}.<->) ARRAY[{products}]::{vector}.halfvec <= %(tolerance)s) IS NOT TRUE
) AS n
HAVING count(*) > 0;
