"""Sentinels, dtypes, band attributes, progress, threads and optional imports: what depends on nothing else."""
