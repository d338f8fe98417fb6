"""Keeps pytest from importing what is run as a program of its own."""

collect_ignore = ["moto_process.py", "sftp_process.py"]
