-- The share of the rows found (f) that are near copies of the nearest of them, imgvec_apart being their distance from it.
avg((f.imgvec_apart <= {burst_distance})::integer)
