{source} AS s
    {after_condition}
