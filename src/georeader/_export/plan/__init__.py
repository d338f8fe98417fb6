"""Plans of a file: options, spec, grid, layout and order of work. Pure."""
