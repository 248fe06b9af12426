EXCEPTION
        WHEN undefined_column THEN
            RAISE WARNING 'imgvec: collection % does not see this change of % (%); run: imgvec doctor',
                {collection_name}, TG_RELID::regclass, SQLERRM;
            RETURN NULL;
    END;
