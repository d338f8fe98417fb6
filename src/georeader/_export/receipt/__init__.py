"""Receipts of written files, and the STAC items made of them."""
