-- How a map was made; its moment.
INSERT INTO imgvec.{map_run_table} (method, row_count, picture_count, landmark_count, silhouette, named_by, condition)
VALUES (%(method)s, %(row_count)s, %(picture_count)s, %(landmark_count)s, %(silhouette)s, %(named_by)s, %(condition)s)
