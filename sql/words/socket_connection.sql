-- How a superuser's relay reaches its own database: through the first Unix socket, as the owner of the schema imgvec.
-- No backslash stands here: in a session with standard_conforming_strings = off it would be read as another character.
(SELECT string_agg(format('%s=''%s''', v.key, replace(replace(v.value, chr(92), repeat(chr(92), 2)), '''', chr(92) || '''')), ' ')
 FROM (VALUES
     ('host', replace(btrim(trim(split_part(current_setting('unix_socket_directories'), ',', 1)), '"'), '""', '"')),
     ('port', current_setting('port')),
     ('dbname', current_database()::text),
     ('user', (SELECT pg_get_userbyid(n.nspowner)::text FROM pg_namespace AS n WHERE n.nspname = 'imgvec')),
     ('application_name', 'imgvec words'),
     ('connect_timeout', '2'),
     ('options', {session_options})
 ) AS v(key, value))
