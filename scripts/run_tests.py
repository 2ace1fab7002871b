"""Runs the linter, builds the documentation, runs the tests on every backend side by side, and ends with a summary.

    python scripts/run_tests.py [ARGUMENTS FOR PYTEST]

Tests marked `once` run in one process, and those marked `course` as well in another; all others in one process per
backend (Keras fixes its backend at import).
Every group runs even if another fails. Logs and JUnit files stay in build/tests/.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "tests"

# The longest first, so that the short ones fill the gap at the end.
GROUPS = {
    "jax": ("jax", "not once"),
    "tensorflow": ("tensorflow", "not once"),
    "once": ("jax", "once and not course"),
    "torch": ("torch", "not once"),
    "course": ("jax", "course"),
}
TEST_SECONDS = 1200
GROUP_SECONDS = 60 * 60
HEARTBEAT_SECONDS = 60


def main(arguments: list[str]) -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    problems = lint() + documentation()
    passed = failed = skipped = 0
    for name, seconds, code in run_groups(arguments):
        counts, names = read_results(name)
        # A filter given by hand may leave a group without tests (pytest's exit code 5); a full run may not.
        if code and not names and not (code == 5 and arguments):
            counts["failed"] += 1
            names = [f"the run itself ended with exit code {code}"]
        if names:
            show_failures(name)
        seen = ", ".join(f"{number} {kind}" for kind, number in counts.items())
        say(f"{name}: {seen} ({seconds:.0f} s)")
        problems += [f"{name}: {test}" for test in names]
        passed, failed, skipped = passed + counts["passed"], failed + counts["failed"], skipped + counts["skipped"]

    say("")
    for problem in problems:
        say(f"FAILED {problem}")
    if problems:
        say(f"Logs: {LOGS.relative_to(ROOT)}/")
    failed += sum(problem.startswith(("lint", "documentation")) for problem in problems)
    say(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if problems else 0


def lint() -> list[str]:
    """Ruff's two checks; returns those that failed."""
    problems = []
    for check in (["check"], ["format", "--check"]):
        if subprocess.run([sys.executable, "-m", "ruff", *check, "."], cwd=ROOT).returncode:
            problems.append(f"lint: ruff {' '.join(check)} (make format mends what it can)")
    return problems


def documentation() -> list[str]:
    """A strict build of the pages in the environment that `make test` made for them; returns the check if it failed."""
    mkdocs = ROOT / ".venv-docs" / "bin" / "mkdocs"
    command = [str(mkdocs), "build", "--strict", "--quiet", "--site-dir", str(ROOT / "build" / "site")]
    if subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}).returncode:
        return ["documentation: make docs shows why"]
    return []


def run_groups(arguments: list[str]):
    """Yields (name, seconds, exit code) of each group as it ends."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    side_by_side = min(cores, len(GROUPS))
    waiting, running = list(GROUPS), {}
    heartbeat = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < side_by_side:
                name = waiting.pop(0)
                running[name] = (start(name, cores // side_by_side, arguments), time.monotonic())
                say(f"{name}: started")
            time.sleep(0.2)
            now = time.monotonic()
            for name, (process, began) in list(running.items()):
                if process.poll() is None and now - began > GROUP_SECONDS:
                    process.kill()
                    process.wait()
                if process.poll() is not None:
                    del running[name]
                    yield name, now - began, process.returncode
            if now - heartbeat > HEARTBEAT_SECONDS:
                heartbeat = now
                for name, (_, began) in running.items():
                    say(f"{name}: {progress(name)} after {now - began:.0f} s")
    finally:
        for process, _ in running.values():
            process.kill()


def start(name: str, threads: int, arguments: list[str]) -> subprocess.Popen:
    backend, marker = GROUPS[name]
    # Without limits each process starts as many threads as there are cores, and the processes wait for one another.
    limits = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC"), str(threads)
    )
    # An empty Keras home: the tests must not depend on what the user's keras.json says.
    if backend == "jax":
        # Most of the time of small models on JAX is compiling: compile lightly, and each program once.
        limits |= {
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
            "JAX_COMPILATION_CACHE_DIR": str(LOGS / "jax_programs"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        }
    fixed = {"KERAS_BACKEND": backend, "KERAS_HOME": str(LOGS / "keras_home"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    results = LOGS / f"{name}.xml"
    results.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-v", "-m", marker, f"--timeout={TEST_SECONDS}", f"--junitxml={results}"]
    # A file that fails to import is one failure, and the other files run all the same.
    command += ["--continue-on-collection-errors", "--durations=10", "--color=no", *arguments]
    with open(LOGS / f"{name}.log", "wb") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**limits, "MPLBACKEND": "Agg", **os.environ, **fixed},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def read_results(name: str) -> tuple[dict[str, int], list[str]]:
    """Counts, and the names of what failed, from pytest's JUnit file."""
    counts, names = {"passed": 0, "failed": 0, "skipped": 0}, []
    try:
        cases = ElementTree.parse(LOGS / f"{name}.xml").iter("testcase")
    except (OSError, ElementTree.ParseError):  # pytest itself was killed
        return counts, names
    for case in cases:
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            counts["failed"] += 1
            names.append(f"{case.get('classname')}::{case.get('name')}")
        else:
            counts["skipped" if "skipped" in kinds else "passed"] += 1
    return counts, names


def show_failures(name: str) -> None:
    """Prints the log from pytest's first report on, or its end if pytest got no so far."""
    lines = (LOGS / f"{name}.log").read_text(errors="replace").splitlines()
    reports = (
        i for i, line in enumerate(lines) if line.startswith("=") and (" FAILURES " in line or " ERRORS " in line)
    )
    first = next(reports, max(0, len(lines) - 80))
    say(f"\n---- {name} ----\n" + "\n".join(lines[first:]) + f"\n---- end of {name} ----")


def progress(name: str) -> str:
    """How far pytest says it is, as "42%"."""
    ends = [
        line[-5:-1].strip()
        for line in (LOGS / f"{name}.log").read_text(errors="replace").splitlines()
        if line.endswith("%]")
    ]
    return ends[-1] if ends else "starting"


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    # Ends by an exception, as Ctrl-C does, so that the test processes are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
