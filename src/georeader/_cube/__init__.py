"""Cubes that are saved as many files: how they are split, and the work on each part."""
