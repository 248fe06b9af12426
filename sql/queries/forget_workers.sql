-- Forget workers that died without signing off, a day after their last heartbeat.
DELETE FROM imgvec.worker WHERE seen_at < now() - interval '1 day';
