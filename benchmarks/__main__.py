"""The command: ``python -m benchmarks``, or ``make bench``."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import report, sections, targets
from benchmarks.crew import ROOT, Crew, PeerError
from benchmarks.environment import machine, spaceml_python
from benchmarks.peers import PEERS
from benchmarks.plot import save_plot
from benchmarks.run import Run
from benchmarks.sections import QUICK, Effort, Section

OUTPUT = ROOT / "bench-output"


def main(arguments: list[str] | None = None) -> int:
    """Measure the selected sections; print tables, and write JSON and a plot.

    Returns:
        0; 1 when this project failed in a section; 2 when the command line is invalid. Targets that are not met
        are a result, not an error.
    """
    options = parse(arguments)
    try:
        wanted = sections.chosen(options.only)
        peers = chosen_peers(options.peers)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    if options.list:
        for section in wanted:
            print(f"{section.name:25} {section.kind:8} {section.input:11} {section.form:6} {section.settings.title()}")
        return 0
    wanted = [dataclasses.replace(each, peers=tuple(peer for peer in each.peers if peer in peers)) for each in wanted]
    options.output.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-", dir=options.folder or options.output)).resolve()
    try:
        results = measure(wanted, effort(options), folder, options)
    finally:
        shutil.rmtree(folder)
    return int(any(section["peers"].get("ours", {}).get("problem") for section in results.values()))


def measure(wanted: list[Section], how: Effort, folder: Path, options: argparse.Namespace) -> targets.Results:
    """Run sections; after each, print its table and save what is known so far."""
    names = [name for name in PEERS if any(name in section.peers for section in wanted)]
    facts: dict[str, Any] = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(folder),
        "effort": dataclasses.asdict(how),
    }
    print_machine(facts["machine"])
    pythons, missing = interpreters(names)
    results: targets.Results = {}
    start = time.monotonic()
    logs = options.output / "logs"
    logs.mkdir(exist_ok=True)
    with Crew(pythons, folder, logs.resolve(), options.timeout) as crew:
        facts["versions"] = versions(crew, names, missing)
        run = Run(crew, folder, how, missing, facts["versions"])
        for number, section in enumerate(wanted, start=1):
            results[section.name] = run.section(section)
            print(report.section_text(section.name, results[section.name]))
            minutes = (time.monotonic() - start) / 60
            print(f"  [{number} of {len(wanted)} sections, {minutes:.1f} minutes]", flush=True)
            facts["minutes"] = round(minutes, 2)
            found = targets.verdicts(results)
            report.save_json(options.output / "results.json", facts, results, found)
    print(report.targets_text(found))
    print(f"\n{options.output / 'results.json'}")
    draw(options.output / "results.png", results, facts)
    return results


def draw(path: Path, results: targets.Results, facts: dict[str, Any]) -> None:
    """Leave a plot where matplotlib is installed."""
    computer = facts["machine"]
    subtitle = f"{computer['cpu']}, {computer['usable_cores']} cores; {facts['started'][:10]}; {computer['project']}"
    try:
        if save_plot(path, results, subtitle):
            print(path)
    except ImportError:
        print("no plot: matplotlib is not installed")


def interpreters(names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Find the Python of each peer.

    Returns:
        (pythons, missing): peer to interpreter, and peer to the reason why it has none.
    """
    pythons, missing = dict.fromkeys(names, sys.executable), {}
    if "spaceml" in names:
        try:
            pythons["spaceml"] = spaceml_python()
        except (RuntimeError, OSError) as error:
            missing["spaceml"] = f"cannot be installed: {error}"
    return pythons, missing


def versions(crew: Crew, names: list[str], missing: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the versions of each peer; add to ``missing`` why one cannot run."""
    found = {}
    for name in names:
        if name in missing:
            continue
        try:
            answer = crew.ask(name, "hello")
        except PeerError as error:
            answer = {"missing": str(error)}
        if answer["missing"]:
            missing[name] = answer["missing"]
            crew.dismiss(name)
        else:
            found[name] = answer["versions"]
            print(f"  {PEERS[name].label}: {', '.join(' '.join(item) for item in answer['versions'].items())}")
    return found


def print_machine(computer: dict[str, Any]) -> None:
    """Print the machine, and warn of a load that would spoil the figures."""
    load = computer["load_at_start"]
    print(f"{computer['cpu']}, {computer['usable_cores']} usable cores, {computer['system']}, {computer['project']}")
    print(f"outputs on {computer['file_system_of_outputs']}, load {load and [round(value, 2) for value in load]}")
    if load and load[0] > 0.5:
        print("the machine is busy: the figures below will be of little worth")


def effort(options: argparse.Namespace) -> Effort:
    """Return the effort that the command line sets."""
    wishes = {"size_px": options.size, "rounds": options.rounds}
    if options.rounds is not None:
        wishes |= {"other_rounds": options.rounds, "chip_rounds": options.rounds}
    given = {name: value for name, value in wishes.items() if value is not None}
    return dataclasses.replace(QUICK if options.quick else Effort(), **given)


def chosen_peers(names: str | None) -> list[str]:
    """Return the peers that a comma-separated list names, or all.

    Raises:
        ValueError: One of them is unknown.
    """
    wanted = [name.strip() for name in names.split(",")] if names else list(PEERS)
    unknown = [name for name in wanted if name not in PEERS]
    if unknown:
        raise ValueError(f"no peer is called {unknown[0]!r}; there are {', '.join(PEERS)}")
    return wanted


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help="sections, by name or pattern: uint16-lzw,chips-*")
    parser.add_argument("--peers", help=f"peers, by name: {','.join(PEERS)}")
    parser.add_argument("--list", action="store_true", help="list the sections, and stop")
    parser.add_argument("--quick", action="store_true", help="tiny rasters, few rounds: does everything still run?")
    parser.add_argument("--size", type=int, help=f"side of the scene in pixels ({Effort.size_px})")
    parser.add_argument("--rounds", type=int, help="rounds of every section and peer")
    parser.add_argument("--folder", type=Path, help="where files are written meanwhile (below the output)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where results.json and results.png go")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds after which a job is cancelled")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
