-- Takes no lock that searches or writes of the table would wait for.
ALTER INDEX imgvec.{index} RENAME TO {new_name};
