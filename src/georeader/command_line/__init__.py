"""The parts of the command line: what options mean, which files are meant, and what is printed."""
