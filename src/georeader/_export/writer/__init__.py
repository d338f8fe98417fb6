"""Parts of CogWriter: buffer of windows, checks of windows, grid of the file."""
