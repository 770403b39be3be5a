"""``python -m deploy.sandbox``."""

import sys

from deploy.sandbox.server import main

if __name__ == "__main__":
    sys.exit(main())
