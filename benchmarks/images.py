"""What an image costs: CPU per image of each format and size, and the bytes that are sent.

Draws the symbol of ROUNDS different codes in each, as a request does in its thread once the code is found: the form
is chosen, the symbol made, the image encoded. Beside it stands the symbol alone (`symbol`), the larger part, which is
segno's. CPU is the process's own (user and system), so that other load does not show. Prints a table and writes
benchmarks/results/images.json.
"""

import json
import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.machine.description import describe_machine
from control_api.design import Design
from control_api.images.drawing import Drawing, draw
from control_api.images.model import ImageFormat, ShortUrl
from control_api.images.symbol import draw_symbol
from scanhop.wire.short_codes import ALPHABET, GENERATED_LENGTH

ROUNDS = int(os.environ.get("ROUNDS", "100"))
SIZES = (100, 300, 1000, 4096)
RESULTS = Path(__file__).parent / "results" / "images.json"


def main() -> None:
    urls = list_urls(random.Random(1))
    runs = {"symbol": measure(lambda url: b"".join(draw_symbol(url, "M")), urls)}
    for image_format in ImageFormat:
        for size in SIZES:
            runs[f"{image_format} {size}"] = measure(
                lambda url, f=image_format, s=size: draw(Drawing(url, replace(Design(), size=s), f)), urls
            )
    for name, figures in runs.items():
        print(f"{name:<10}", *(f"{figure}: {value}" for figure, value in figures.items()), sep="  ")
    about = describe_machine(("scanhop", "segno"))
    RESULTS.write_text(json.dumps({"about": about, "rounds": ROUNDS, "runs": runs}, indent=2) + "\n")


def list_urls(chance: random.Random) -> list[ShortUrl]:
    codes = ("".join(chance.choice(ALPHABET) for _ in range(GENERATED_LENGTH)) for _ in range(ROUNDS))
    return [ShortUrl("https://qr.example.com", f"/r/{code}", folds=True) for code in codes]


def measure(make: Callable[[ShortUrl], bytes], urls: list[ShortUrl]) -> dict[str, float]:
    """Milliseconds of CPU per image, in the middle and at the 99th percentile; bytes in the middle."""
    make(urls[0])
    spent, sizes = [], []
    for url in urls:
        started = time.process_time_ns()
        image = make(url)
        spent.append((time.process_time_ns() - started) / 1e6)
        sizes.append(len(image))
    return {
        "cpu_ms_p50": round(statistics.median(spent), 2),
        "cpu_ms_p99": round(statistics.quantiles(spent, n=100)[98], 2),
        "bytes": int(statistics.median(sizes)),
    }


if __name__ == "__main__":
    main()
