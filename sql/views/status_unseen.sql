,
       CASE WHEN visible.rows = 'all'
            THEN (SELECT u.message FROM imgvec.unseen_change AS u WHERE u.collection_id = c.id ORDER BY u.id DESC LIMIT 1) END AS unseen
