"""`python -m lab`. Exit codes: 0 done, 1 failed, 2 refused, 3 this host cannot run lab machines."""

import sys

from lab.cli import main

sys.exit(main(sys.argv[1:]))
