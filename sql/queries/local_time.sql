-- The database's clock in the session's time zone: the database's own, unless the role's or PGTZ says otherwise.
SELECT localtimestamp;
