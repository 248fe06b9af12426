-- Memory and parallel workers of the index builds of this session; a null leaves the server's own.
SELECT set_config('maintenance_work_mem', %(memory_kb)s || 'kB', false),
       set_config('max_parallel_maintenance_workers',
                  coalesce(%(workers)s::text, current_setting('max_parallel_maintenance_workers')), false);
