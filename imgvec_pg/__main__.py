"""`python -m imgvec_pg` is `imgvec`."""

from imgvec_pg.cli import main

if __name__ == "__main__":
    main()
