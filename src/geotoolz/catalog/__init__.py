"""Rows of catalogs: where they come from, which files they become, and who works on them."""
