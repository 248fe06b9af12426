,
       f.blank
