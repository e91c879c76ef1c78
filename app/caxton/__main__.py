"""`python -m caxton`: the command line.

Owns nothing. Must never do more than call it.
"""

from caxton.cli import main

if __name__ == "__main__":
    main()
