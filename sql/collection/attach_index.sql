-- Make a partition's index part of the partitioned table's; with the last one that becomes valid.
ALTER INDEX imgvec.{index} ATTACH PARTITION imgvec.{partition_index};
