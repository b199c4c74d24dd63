"""Whether the server's memory stays flat: both its processes' resident bytes over comparisons.

The slope is a least-squares line through the bytes after each comparison, those of the first
tenth (at most 50, in which libraries are still being imported and caches filled) left out. The aims
are a flat line, which over the rest rises by no more than 2 % of the bytes that it starts from, and
at the end no more than 10 % above those. Nothing more is begun once ``--seconds`` have passed.
"""

from __future__ import annotations

import argparse
import json
import time

from gradio_client import Client
from scipy.stats import linregress

from benchmarks.serving import compare, serving

SETS = (
    ("fp32", "bnb-nf4"),
    ("fp32", "torchao-int8wo"),
    ("fp32", "quanto-int8"),
    ("fp32", "gguf-q4_0"),
    ("fp32", "sdnq-uint4"),
)
MIB = 2**20
WARM = 50
FLAT = 0.02
MOST_RATIO = 1.1


def main() -> None:
    """Measure, print the table, and print the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=220)
    asked = parser.parse_args()
    if asked.comparisons < 3:
        parser.error("a slope needs at least 3 comparisons")
    sizes: list[float] = []
    until = time.monotonic() + asked.seconds
    with serving() as served:
        client = Client(served.url, verbose=False, analytics_enabled=False, download_files=False)
        failed = 0
        for number in range(asked.comparisons):
            if time.monotonic() > until and number >= 3:
                break
            found = compare(client, SETS[number % len(SETS)], seed=number)
            failed += sum(outcome["status"] != "ok" for outcome in found["outcomes"])
            sizes.append(served.rss_bytes / MIB)
        client.close()
    count = len(sizes)
    warm = min(WARM, count // 10)
    line = linregress(range(warm, count), sizes[warm:])
    print(f"{'comparison':>10}{'RSS MiB':>12}")
    for number in sorted({0, warm, *range(count // 10, count, max(1, count // 10)), count - 1}):
        print(f"{number + 1:10}{sizes[number]:12.1f}")
    growth = float(line.slope) * (count - warm)
    share = growth / sizes[warm]
    ratio = sizes[-1] / sizes[warm]
    print(
        f"{growth:+.1f} MiB over the last {count - warm}, {share:+.1%} (aim: flat, <= {FLAT:.0%}); "
        f"at the end {ratio:.3f} of the bytes after the first {warm} (aim: <= {MOST_RATIO})"
    )
    figures = {
        "comparisons": count,
        "failed_plans": failed,
        "rss_mib_after_warm": round(sizes[warm], 1),
        "rss_mib_last": round(sizes[-1], 1),
        "slope_mib_per_100": round(float(line.slope) * 100, 2),
        "growth_share": round(share, 4),
        "ratio": round(ratio, 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
