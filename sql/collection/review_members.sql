-- Members of one group as the caller sees them, the keeper first: the key as a JSON object, whether it is the keeper, why, the cosine distance to
-- the keeper, and columns of the source as JSON.
SELECT {g_key}, g.is_keeper, g.reason,
       (e.embedding OPERATOR({vector}.<=>) first_value(e.embedding) OVER (ORDER BY g.is_keeper DESC, m.place)) AS distance{shown_after}
FROM imgvec.{duplicate_group_view} AS g
JOIN imgvec.{duplicate_member_table} AS m ON {m_equals_g}
JOIN imgvec.{embedding_table} AS e ON {e_equals_g}
JOIN (SELECT {wanted} FROM {source}) AS s ON {e_equals_s}
WHERE g.group_id = %(group_id)s
ORDER BY g.is_keeper DESC, m.place;
