"""`python -m caxton.api [--config FILE] [--admin]`: the HTTP server.

Owns the order of start: gevent patches first, then everything else is imported. Must never hold more.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402  # nothing may be imported before the patch
import sys  # noqa: E402  # as above
from pathlib import Path  # noqa: E402  # as above

from caxton.api.server import serve  # noqa: E402  # as above
from caxton.protocol.errors import CaxtonError  # noqa: E402  # as above


def main() -> int:
    """Exit 1 with the reason when the configuration does not hold."""
    parser = argparse.ArgumentParser(prog="caxton.api")
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--admin", action="store_true")
    options = parser.parse_args()
    try:
        serve(options.config, admin=options.admin)
    except CaxtonError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
