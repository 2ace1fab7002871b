"""Checks the style, builds the documentation, runs the tests on every backend, and ends with a summary.

    python scripts/run_tests.py [FILE OR FOLDER ...] [ARGUMENTS FOR PYTEST]

A queue of test files feeds one worker per core. A worker is a process with one backend, since Keras fixes its backend
at import; it stays warm from file to file, and where the files of its backend run out, a worker of another backend
takes over. Tests marked `once` run on PyTorch, which starts fastest, and those marked `course` by `make test-course`.
Every file runs even if another fails. Logs and JUnit files stay in build/tests/.
"""

import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "tests"
# Programs that XLA compiled stay from one checkout to the next; JAX itself checks that they are those of this machine.
PROGRAMS = pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "magvit_keras", "jax_programs"
)

ONCE = "torch"
MARKERS = {"jax": "not once and not course", "tensorflow": "not once and not course", "torch": "not course"}
TEST_SECONDS = 1200
FILE_SECONDS = 60 * 60
HEARTBEAT_SECONDS = 60


class Queue:
    """Jobs (backend, file), handed out so that a worker changes its backend as seldom as can be."""

    def __init__(self, files: list[pathlib.Path]):
        # The largest first, so that small ones fill the gap at the end.
        ordered = sorted(files, key=lambda path: -path.stat().st_size)
        # A file that runs once as a whole would only be imported on the other backends.
        shared = [path for path in ordered if not re.search(r"^pytestmark = .*mark\.once", path.read_text(), re.M)]
        self._left = {backend: list(ordered if backend == ONCE else shared) for backend in MARKERS}
        self.size = sum(map(len, self._left.values()))
        self._busy = dict.fromkeys(MARKERS, 0)
        self._lock = threading.Lock()

    def next(self, backend: str | None) -> tuple[str, pathlib.Path] | None:
        """The next job for a worker of `backend`; that of another backend where it has none left."""
        with self._lock:
            if backend is None or not self._left[backend]:
                if backend is not None:
                    self._busy[backend] -= 1
                waiting = [name for name, files in self._left.items() if files]
                if not waiting:
                    return None
                # Where nobody works yet, and the most is left.
                backend = min(waiting, key=lambda name: (self._busy[name], -len(self._left[name])))
                self._busy[backend] += 1
            return backend, self._left[backend].pop(0)


def main(arguments: list[str]) -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in LOGS.glob("*.xml"):
        old.unlink()
    paths = [ROOT / text for text in arguments if not text.startswith("-") and (ROOT / text.split("::")[0]).exists()]
    options = [text for text in arguments if ROOT / text not in paths]
    files = sorted(
        {file for path in paths or [ROOT / "tests"] for file in ([path] if path.is_file() else path.rglob("test_*.py"))}
    )
    began, jobs, done = time.monotonic(), Queue(files), queue.Queue()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    checks = [] if paths else [lint, documentation]
    lanes = [
        threading.Thread(target=lane, args=(jobs, options, done, checks if i == 0 else []), daemon=True)
        for i in range(cores)
    ]
    for thread in lanes:
        thread.start()

    counts = {name: {"passed": 0, "failed": 0, "skipped": 0} for name in MARKERS}
    seconds: list[tuple[float, str]] = []
    problems, finished, running = [], 0, len(lanes)
    heartbeat = time.monotonic()
    while running:
        try:
            event = done.get(timeout=1)
        except queue.Empty:
            event = ()
        if event is None:
            running -= 1
        elif event and isinstance(event, str):
            problems.append(event)
        elif event:
            backend, file, code, took = event
            finished += 1
            seconds.append((took, f"{backend} {file.relative_to(ROOT)}"))
            found, names = read_results(backend, file)
            # pytest's exit code 5: the file has no test for this backend, or a filter given by hand leaves none.
            if code not in (0, 5) and not names:
                found["failed"] += 1
                names = [f"{file.relative_to(ROOT)} ended with exit code {code}"]
            if names:
                show_failures(backend, file)
            problems += [f"{backend}: {name}" for name in names]
            for kind, number in found.items():
                counts[backend][kind] += number
        if time.monotonic() - heartbeat > HEARTBEAT_SECONDS:
            heartbeat = time.monotonic()
            say(f"{finished} of {jobs.size} files after {heartbeat - began:.0f} s")

    say("")
    for name, found in counts.items():
        say(f"{name}: " + ", ".join(f"{number} {kind}" for kind, number in found.items()))
    say("The slowest files: " + ", ".join(f"{name} {took:.0f} s" for took, name in sorted(seconds, reverse=True)[:10]))
    for problem in problems:
        say(f"FAILED {problem}")
    if problems:
        say(f"Logs: {LOGS.relative_to(ROOT)}/")
    total = {kind: sum(found[kind] for found in counts.values()) for kind in ("passed", "failed", "skipped")}
    total["failed"] += sum(problem.startswith(("lint", "documentation")) for problem in problems)
    say(f"{time.monotonic() - began:.0f} s")
    say("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
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


def lane(jobs: Queue, options: list[str], done: queue.Queue, checks: list) -> None:
    """One core's share of the work; tells `done` problems, (backend, file, exit code, seconds), and at the end None."""
    for check in checks:
        for problem in check():
            done.put(problem)
    backend, worker = None, None
    try:
        while job := jobs.next(backend):
            if worker and (job[0] != backend or worker.poll() is not None):
                stop(worker)
                worker = None
            backend, file = job
            worker = worker or start(backend, options)
            began = time.monotonic()
            worker.stdin.write(f"{file}\n")
            worker.stdin.flush()
            # An alarm and not a wait: a worker that hangs or dies must not stop the lane.
            alarm = threading.Timer(FILE_SECONDS, worker.kill)
            alarm.start()
            answer = worker.stdout.readline().strip()
            alarm.cancel()
            done.put((backend, file, int(answer) if answer else -1, time.monotonic() - began))
            if not answer:
                stop(worker)
                worker = None
    finally:
        if worker:
            stop(worker)
        done.put(None)


WORKERS: set[subprocess.Popen] = set()


def start(backend: str, options: list[str]) -> subprocess.Popen:
    # Without limits each process starts as many threads as there are cores, and the processes wait for one another.
    limits = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC"), "1"
    )
    # Most of the time of small models is compiling: compile lightly, and each program once.
    limits |= {
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": str(PROGRAMS),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    # An empty Keras home: the tests must not depend on what the user's keras.json says.
    fixed = {"KERAS_BACKEND": backend, "KERAS_HOME": str(LOGS / "keras_home"), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, __file__, "--worker", backend, *options]
    env = {**limits, "MPLBACKEND": "Agg", **os.environ, **fixed}
    worker = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    WORKERS.add(worker)
    return worker


def stop(worker: subprocess.Popen) -> None:
    worker.kill()
    worker.wait()
    WORKERS.discard(worker)


def work(backend: str, options: list[str]) -> None:
    """A worker: runs each file whose name it is sent, and answers with pytest's exit code."""
    answers = os.fdopen(os.dup(1), "w")
    sys.path.insert(0, str(ROOT))
    import pytest

    for line in sys.stdin:
        file = pathlib.Path(line.strip())
        log = os.open(log_of(backend, file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        command = ["-v", "-m", MARKERS[backend], f"--timeout={TEST_SECONDS}", "--durations=10", "--color=no"]
        code = pytest.main([*command, f"--junitxml={xml_of(backend, file)}", *options, str(file)])
        sys.stdout.flush()
        sys.stderr.flush()
        answers.write(f"{int(code)}\n")
        answers.flush()


def name_of(file: pathlib.Path) -> str:
    return ".".join(file.relative_to(ROOT / "tests").with_suffix("").parts)


def log_of(backend: str, file: pathlib.Path) -> pathlib.Path:
    return LOGS / f"{backend}.{name_of(file)}.log"


def xml_of(backend: str, file: pathlib.Path) -> pathlib.Path:
    return LOGS / f"{backend}.{name_of(file)}.xml"


def read_results(backend: str, file: pathlib.Path) -> tuple[dict[str, int], list[str]]:
    """Counts, and the names of what failed, from pytest's JUnit file."""
    counts, names = {"passed": 0, "failed": 0, "skipped": 0}, []
    try:
        cases = ElementTree.parse(xml_of(backend, file)).iter("testcase")
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


def show_failures(backend: str, file: pathlib.Path) -> None:
    """Prints the log from pytest's first report on, or its end if pytest got no so far."""
    lines = log_of(backend, file).read_text(errors="replace").splitlines()
    reports = (
        i for i, line in enumerate(lines) if line.startswith("=") and (" FAILURES " in line or " ERRORS " in line)
    )
    first = next(reports, max(0, len(lines) - 80))
    title = f"{backend}, {file.relative_to(ROOT)}"
    say(f"\n---- {title} ----\n" + "\n".join(lines[first:]) + f"\n---- end of {title} ----")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], sys.argv[3:])
    else:
        # Ends by an exception, as Ctrl-C does, so that the workers are stopped too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            code = main(sys.argv[1:])
        finally:
            for left in list(WORKERS):
                left.kill()
        sys.exit(code)
