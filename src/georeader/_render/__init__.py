"""Rendering of pixels as pictures: arrays to PNG and to the HTML of notebooks, without reading or writing anything."""
