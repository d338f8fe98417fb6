"""``python -m georeader``: the command line."""

from georeader.cli import main

if __name__ == "__main__":
    main()
