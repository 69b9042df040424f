"""Measures the bus side by side with its peers: ``python -m bench``, or ``make bench``, which installs first.

Progress goes to standard error; tables, and as the last line one JSON object, to standard output.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import backlog, call, csv, delivery, embedded, hanging, hop, ingress, processes, steps, table
from bench.figures import Verdict, judge
from bench.machine import BUSY, machine, others
from bench.plan import Benchmark, Kit, Plan
from bench.process import CannotRun
from bench.report import quietness, save, summary
from bench.rounds import Turns
from bench.workshop import Workshop

# What can be asked for by name, in the order in which all of it runs.
BENCHMARKS: dict[str, tuple[Benchmark, ...]] = {
    "hop": (hop.BENCHMARK,),
    "embedded": (embedded.BENCHMARK,),
    "http": (ingress.BENCHMARK, delivery.BENCHMARK),
    "call": (call.BENCHMARK,),
    "hanging": (hanging.BENCHMARK,),
    "backlog": (backlog.BENCHMARK,),
    "processes": (processes.BENCHMARK,),
    "csv": (csv.BENCHMARK,),
    "steps": (steps.BENCHMARK,),
}
HERE = Path(__file__).parent
RESULTS = HERE / "results"
WORKSHOP = HERE.parent / ".bench"


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 when a benchmark could not be run at all."""
    chosen = _options().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers and directories go also then
    if chosen.list:
        print("\n".join(f"{name:<10} {' · '.join(o.title for o in group)}" for name, group in BENCHMARKS.items()))
        return 0
    results, failed = {}, {}
    for benchmark in (one for name in chosen.names or BENCHMARKS for one in BENCHMARKS[name]):
        try:
            results[benchmark.name] = run(benchmark, chosen)
        except CannotRun as reason:
            failed[benchmark.name] = str(reason)
            print(f"\n{benchmark.title} could not be run: {reason}")
    print(msgspec.json.encode({"machine": machine(), "results": results, "failed": failed}).decode())
    return 1 if failed else 0


def run(benchmark: Benchmark, chosen: argparse.Namespace) -> dict[str, object]:
    """One benchmark, its tables printed and its result saved where that was asked for. Raises ``CannotRun``."""
    messages, before = chosen.messages or benchmark.messages, others()
    if before > BUSY:
        _tell(f"others use {before:.0%} of the CPU: figures will be of a busy machine")
    plan, turns = _measure(benchmark, chosen, messages)
    verdicts = [verdict for aim in plan.aims if (verdict := judge(aim, turns.rounds)) is not None]
    _print(benchmark, plan, turns, verdicts, f"{messages:,} messages, medians of {chosen.runs} runs in turns")
    facts = {"measured": datetime.now(UTC).strftime("%Y-%m-%d"), "messages": messages, "runs": chosen.runs}
    result = facts | quietness(before, turns, others()) | summary(plan, turns, verdicts)
    if chosen.save:
        _tell(f"saved as bench/results/{save(benchmark.name, machine(), result, RESULTS).name}")
    return result


def _measure(benchmark: Benchmark, chosen: argparse.Namespace, messages: int) -> tuple[Plan, Turns]:
    wanted = tuple(chosen.sides.split(",")) if chosen.sides else ()
    with ExitStack() as opened:
        plan = benchmark.make(Kit(Workshop(WORKSHOP, _tell), _tell, opened, wanted))
        if not plan.sides:
            raise CannotRun(f"none of its sides is there: {'; '.join(plan.absent.values()) or chosen.sides}")
        turns = Turns(plan.sides, _tell)
        turns.take(chosen.runs, messages)
    return plan, turns


def _print(benchmark: Benchmark, plan: Plan, turns: Turns, verdicts: list[Verdict], how: str) -> None:
    print(f"\n{benchmark.title}: {how}\n\n{table.readings(plan, turns.rounds)}")
    if verdicts:
        print(f"\n{table.verdicts(verdicts)}")
    stolen = f"at most {max(turns.stolen, default=0.0):.1%} of the processor"
    print(f"\nother machines took {stolen} during a run that counts; runs that do not, for that: {turns.again}")
    for title, reason in (*plan.absent.items(), *turns.failures.items()):
        print(f"\nnot measured: {title}: {reason}")
    sys.stdout.flush()


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser("python -m bench", description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME", help="default: all")
    options.add_argument("--list", action="store_true", help="what can be measured")
    options.add_argument("--runs", type=int, default=5, help="rounds in which each side is measured once (5)")
    options.add_argument("--messages", type=int, help="how many in a run, instead of each benchmark's own number")
    options.add_argument("--sides", default="", help="only these, by name, with commas between them")
    options.add_argument("--save", action="store_true", help="keep the result in bench/results")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        _tell("stopped; servers and directories are gone, nothing is kept")
        sys.exit(130)
