"""`make simulate`: many seeds side by side; those that fail are listed with the command that repeats them.

python -m simulation                   1,000 seeds
python -m simulation --seeds 100000 --first 5000
python -m simulation --seed 4711       one of them, with what the bot logs
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import sys
import time

from simulation.world import Outcome, play


def main() -> int:
    parser = argparse.ArgumentParser(description="Plays the bot's life against a model of the homeserver.")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, and show what the bot logs")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if args.seed is not None:
        logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
        outcome = play(args.seed)
        print(outcome)
        return report([outcome], 0.0)
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().setLevel(logging.ERROR)
    begun = time.monotonic()
    found: list[Outcome] = []
    with multiprocessing.Pool(args.processes, gc.freeze) as pool:
        for outcome in pool.imap_unordered(played, range(args.first, args.first + args.seeds), chunksize=4):
            found.append(outcome)
            if outcome.faults:
                print(f"seed {outcome.seed}: {short(outcome.faults[0])}", flush=True)
    return report(found, time.monotonic() - begun)


def played(seed: int) -> Outcome:
    """One seed; what it leaves in caches isn't searched for garbage again after each that follows."""
    outcome = play(seed)
    gc.freeze()
    return outcome


def short(fault: str) -> str:
    """A fault in few lines: of a traceback, its beginning and its end."""
    return fault if len(fault) < 800 else f"{fault[:200]} … {fault[-600:]}"


def report(found: list[Outcome], seconds: float) -> int:
    failed = sorted((each for each in found if each.faults), key=lambda each: each.seed)
    for outcome in failed[:20]:
        print(f"\npython -m simulation --seed {outcome.seed}")
        for fault in outcome.faults[:10]:
            print(f"    {short(fault)}")
    total = {name: sum(getattr(each, name) for each in found) for name in ("requests", "acts", "removals", "kills")}
    days = sum(each.seconds for each in found) / 86_400
    print(
        f"\n{len(found)} seeds in {seconds:.0f} s, {days:.1f} days simulated, {total['requests']} requests, "
        f"{total['acts']} changes to accounts, {total['removals']} accounts removed, {total['kills']} kills, "
        f"{len(failed)} seeds failed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order in sets of text is part of what the seed decides
        again = [sys.executable, "-m", "simulation", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - the same program
    sys.exit(main())
