-- Before groups are written anew. A DELETE: with TRUNCATE readers would wait.
DELETE FROM imgvec.{duplicate_member_table}
