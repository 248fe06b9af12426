-- The foreign server {server_name} of a shard with its user mappings; not what others have made on it, which refuses this.
DO $server$
DECLARE
    server_name constant text := {server_name};
    mapped text;
BEGIN
        {drop_mapped_server}
END
$server$;
