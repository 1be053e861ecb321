"""Jobs that are forked from a process that has imported the libraries behave as processes of their own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wedgescape.cluster import warm_starts

REPOSITORY = Path(__file__).resolve().parents[2]


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run code in a process of its own, which finds the library."""
    known = os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts")} | environment
    return subprocess.run([sys.executable, "-c", code], env=known, capture_output=True, text=True, timeout=240)


@pytest.fixture
def ran(tmp_path):
    """Run scripts one after the other in a process of their own; their exit codes, and the process that ran them."""

    def run(*scripts: str, threads: int = 1, **environment: str):
        paths = [tmp_path / f"script{number}.py" for number in range(len(scripts))]
        for path, script in zip(paths, scripts, strict=True):
            path.write_text(script)
        code = (
            "import json\n"
            "from wedgescape.cluster import warm_starts\n"
            'warm_starts.PRELOADED = ("threadpoolctl", "torch", "numpy")\n'
            "codes = []\n"
            f"for path in {[str(path) for path in paths]}:\n"
            f"    process = warm_starts.start(path, {threads}, {environment})\n"
            "    process.join()\n"
            "    codes.append(process.exitcode)\n"
            "print(json.dumps(codes))\n"
        )
        done = python(code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), done

    return run


def test_exit_codes_are_those_of_the_scripts(ran):
    killed = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    codes, done = ran("import sys; sys.exit(3)", "1 / 0", killed, "pass")
    assert codes == [3, 1, -signal.SIGKILL, 0]
    assert "ZeroDivisionError" in done.stderr


def test_nothing_that_a_script_sets_reaches_the_next(ran, tmp_path):
    breaks = "import os, tempfile, torch; os.environ['SET'] = 'yes'; torch.made = tempfile.tempdir = '/'; os.chdir('/')"
    looks = (
        "import json, os, sys, tempfile, torch\n"
        "seen = [os.environ.get('SET'), hasattr(torch, 'made'), os.getcwd(), os.environ['GIVEN'], __name__, sys.argv]\n"
        f"open({str(tmp_path / 'seen.json')!r}, 'w').write(json.dumps([*seen, tempfile.gettempdir()]))"
    )
    assert ran(breaks, looks, GIVEN="so", TMPDIR=str(tmp_path))[0] == [0, 0]
    wanted = [None, False, os.getcwd(), "so", "__main__", [str(tmp_path / "script1.py")], str(tmp_path)]
    assert json.loads((tmp_path / "seen.json").read_text()) == wanted


@pytest.mark.parametrize("threads", [1, 2])
def test_libraries_have_as_many_threads_as_the_job(ran, tmp_path, threads):
    counts = (
        "import json, numpy, torch, threadpoolctl\n"
        "blas = [one['num_threads'] for one in threadpoolctl.threadpool_info() if one['user_api'] == 'blas']\n"
        f"open({str(tmp_path / 'seen.json')!r}, 'w').write(json.dumps(blas))"
    )
    assert ran(counts, threads=threads, OPENBLAS_NUM_THREADS="7")[0] == [0]
    assert set(json.loads((tmp_path / "seen.json").read_text())) == {threads}


def test_jobs_that_end_while_others_start_keep_their_exit_codes(tmp_path):
    """Threads start and wait for jobs at the same time, as Snakemake does."""
    (tmp_path / "job.py").write_text("import sys; sys.exit(3)")
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from wedgescape.cluster import warm_starts\n"
        'warm_starts.PRELOADED = ("threadpoolctl",)\n'
        "def run(_number):\n"
        f"    process = warm_starts.start({str(tmp_path / 'job.py')!r}, 1, {{}})\n"
        "    process.join()\n"
        "    return process.exitcode\n"
        "with ThreadPoolExecutor(6) as pool:\n"
        "    print(sorted(set(pool.map(run, range(150)))))\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[3]"


def test_each_job_starts_on_its_own_where_that_is_asked_for(monkeypatch):
    monkeypatch.setenv("WEDGESCAPE_COLD", "1")
    assert not warm_starts.possible()
    monkeypatch.delenv("WEDGESCAPE_COLD")
    assert warm_starts.possible() == (sys.platform == "linux")


def test_a_server_that_cannot_listen_is_told_as_an_error_of_the_system(ran, tmp_path):
    long = tmp_path / ("n" * 100)  # a socket's name has at most 107 characters
    long.mkdir()
    code = "from wedgescape.cluster import warm_starts\nwarm_starts.start('script.py', 1, {})"
    done = python(code, TMPDIR=str(long))
    assert done.stderr.splitlines()[-1].startswith("OSError: ")


def test_a_job_finds_what_it_imports_and_its_collector_passes_that_by(tmp_path):
    seen = tmp_path / "seen.json"
    (tmp_path / "job.py").write_text(
        "import gc, json, signal, sys\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        f"json.dump([gc.isenabled(), gc.get_freeze_count(), [*sys.modules]], open({str(seen)!r}, 'w'))\n"
    )
    job = str(tmp_path / "job.py")
    done = python(
        f"from wedgescape.cluster import warm_starts\nprocess = warm_starts.start({job!r}, 1, {{}})\nprocess.join()\n"
        "assert not process.exitcode"
    )
    assert done.returncode == 0, done.stderr
    enabled, frozen, modules = json.loads(seen.read_text())
    assert enabled
    assert frozen > 100_000
    assert {"torch", "snakemake.io", "wedgescape.figures.tunnels", "wedgescape.measurements.tunnels"} <= set(modules)


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_job_that_is_over_before_anyone_looks_is_waited_for_as_any_other(ran, tmp_path, seconds):
    (tmp_path / "job.py").write_text(f"import time; time.sleep({seconds})")
    code = (
        "import psutil, time\n"
        "from snakemake.benchmark import BenchmarkRecord\n"
        "from wedgescape.cluster import internals, warm_starts\n"
        'warm_starts.PRELOADED = ("threadpoolctl",)\n'
        f"process, record = warm_starts.start({str(tmp_path / 'job.py')!r}, 1, {{}}), BenchmarkRecord()\n"
        f"while {not seconds} and psutil.pid_exists(process.pid):\n"
        "    time.sleep(0.01)\n"
        "internals.wait_for(process, record)\n"
        "print(process.exitcode, record.to_tsv(False))\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    code, took, _words, memory, *_others = done.stdout.split()
    assert code == "0"
    assert float(took) >= seconds
    assert (memory == "NA") == (not seconds)
