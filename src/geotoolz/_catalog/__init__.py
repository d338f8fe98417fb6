"""Rows of catalogs: reading them, planning their files, and the work on them."""
