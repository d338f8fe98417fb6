"""The streaming engine: reads windows, builds the pyramid, encodes tiles and assembles the file."""
