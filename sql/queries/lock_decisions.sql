-- Lets nobody else decide about duplicates until this transaction ends, by whatever way; reading goes on.
SET LOCAL lock_timeout = '5s';
LOCK TABLE imgvec.duplicate_decision IN SHARE ROW EXCLUSIVE MODE;
