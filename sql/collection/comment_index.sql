-- What the build took, kept where the next one is planned from.
COMMENT ON INDEX imgvec.{index} IS {comment};
