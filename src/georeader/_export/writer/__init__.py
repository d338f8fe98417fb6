"""What CogWriter adds to an export: a buffer for windows, checks of windows, the grid of the file."""
