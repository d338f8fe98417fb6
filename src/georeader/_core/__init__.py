"""Sentinels, dtypes, band attributes, windows, threads and reports to callers: what depends on nothing else."""
