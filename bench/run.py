"""The benchmark table: `python bench/run.py [--quick] [--cpu] [--only SECTION]`, about ten minutes on two cores.

Every way of computing the same counts is timed in alternating rounds of one process, and what each returns is
compared with the definition before its time is printed. A way too slow for all planes is timed on some of them,
other ones in every round, and its cost a plane multiplied by their number: marked with a *.
"""

import argparse
import gc
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from threadpoolctl import threadpool_limits

from bench import (
    anchor,
    cost,
    dictionary,
    gradients,
    parts,
    problems,
    processes,
    stores,
    threads,
    timing,
    training,
    wide,
)
from bench.machine import machine, warm

SECTIONS = {
    "headline": ("The paper's kind of problem, every way", problems.headline),
    "break-even": ("Break-even: from tiny to large", problems.break_even),
    "cost": ("What each size of the problem costs", cost.cost),
    "parts": ("What the parts cost", parts.parts),
    "threads": ("Threads", threads.threads),
    "wide": ("Wide layers, all planes", wide.wide),
    "dictionary": ("A dictionary of 24,576 vectors", dictionary.dictionary),
    "stores": ("Stores: reading alone and the whole analysis", stores.stores),
    "gradient": ("Gradients of networks, beside PyTorch", gradients.gradients),
    "processes": ("Whole processes", processes.processes),
    "training": ("Training small networks", training.training),
    "anchor": ("Anchor: pair counters of other fields", anchor.anchor),
}  # a function of `quick` that prints its tables and raises AssertionError for a wrong count


def main(argv=None):
    """Print the sections asked for; fail when any way gives a wrong answer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="toy sizes: shows that it works, not how fast")
    parser.add_argument(
        "--only", action="append", choices=SECTIONS, metavar="SECTION", help=f"may be repeated; {', '.join(SECTIONS)}"
    )
    parser.add_argument(
        "--cpu",
        action="store_true",
        help="CPU seconds of all threads in place of wall time, for a busy machine; threads and stores keep wall time",
    )
    arguments = parser.parse_args(argv)
    print(f"# srmfast benchmark{' (quick: toy sizes)' if arguments.quick else ''}\n")
    machine(arguments.quick)
    if arguments.cpu:
        timing.clock = time.process_time
        threadpool_limits(1, user_api="blas")  # its threads wait for one another in a loop, which costs CPU seconds
    print(f"Kernels loaded, or compiled where no cache had them, in {warm():.1f} s.")
    gc.freeze()  # what has been imported need not be looked through before every round
    print(
        f"Times are medians of alternating rounds{', CPU seconds of all threads' if arguments.cpu else ''}; ratios are "
        "medians of the rounds' ratios; the collector is off."
    )
    for name, (title, section) in SECTIONS.items():
        if arguments.only is None or name in arguments.only:
            print(f"\n## {title}\n", flush=True)
            began = time.perf_counter()
            section(arguments.quick)
            print(f"\n({name}: {time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f})", flush=True)


if __name__ == "__main__":
    main()
