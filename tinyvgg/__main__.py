"""`python -m tinyvgg` is the command line."""
import sys

from tinyvgg.cli import main

if __name__ == "__main__":
    sys.exit(main())
