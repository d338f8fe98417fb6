"""How fast and how large: this project beside its peers, on the same arrays, in one run, in alternation."""
