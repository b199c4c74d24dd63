"""python -m benchmarks.flux_shaped"""

import sys

from benchmarks.flux_shaped.run import main

sys.exit(main())
