"""Saves on a cluster of dask.distributed: the work of workers, where they send it, and the engine that gives it."""
