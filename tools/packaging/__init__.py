"""What building the distributions takes; in none of them but the sdist."""
