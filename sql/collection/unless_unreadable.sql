EXCEPTION
        WHEN OTHERS THEN
            RAISE WARNING 'imgvec: collection % does not see this change of % (%); run: imgvec doctor',
                {collection_name}, TG_RELID::regclass, SQLERRM;
            BEGIN
                -- Once until it is mended: statements that run at once never wait for each other here.
                INSERT INTO imgvec.unseen_change (collection_id, relation, message)
                SELECT {collection_id}, TG_RELID, SQLERRM
                WHERE NOT EXISTS (SELECT FROM imgvec.unseen_change AS u WHERE u.collection_id = {collection_id});
            EXCEPTION
                WHEN OTHERS THEN NULL;
            END;
            RETURN NULL;
    END;
