"""Downloads against a server on this machine that breaks off, refuses and lies."""

import gzip
import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wedgescape.data import downloads
from wedgescape.data.downloads import fetch
from wedgescape.errors import InputError

CONTENT = bytes(range(256)) * 1000
HALF = len(CONTENT) // 2
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; a path such as /cut,busy/file plays one act a request, and the last one for ever."""

    def do_GET(self):
        server = self.server
        acts = self.path.split("/")[1].split(",")
        act = acts[min(server.requests.count(self.path), len(acts) - 1)]
        server.requests.append(self.path)
        getattr(self, act)()

    def serve(self, content=CONTENT, until=None, length=True, **headers):
        self.send_response(200)
        if length:
            self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content[:until])

    def cut(self):
        self.serve(until=HALF)

    def endless(self):
        self.serve(until=HALF, length=False)

    def stuck(self):
        self.cut()
        self.wfile.flush()
        self.server.half_sent.set()
        self.server.closing.wait(10)

    def slow(self):
        time.sleep(0.05)
        self.serve()

    def compressing(self):
        """Compresses on the way if the client allows it."""
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            self.serve(gzip.compress(CONTENT), Content_Encoding="gzip")
        else:
            self.serve()

    def wrong(self):
        self.serve(content=b"something else")

    def busy(self):
        self.send_error(503)

    def missing(self):
        self.send_error(404)

    def silent(self):
        self.server.closing.wait(10)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        server.closing, server.half_sent = threading.Event(), threading.Event()
        server.url = lambda acts: f"http://127.0.0.1:{server.server_port}/{acts}/file"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "cache" / "file"


def get(destination, *urls, checksum=f"sha256:{SHA256}", **options):
    return fetch(urls, destination, checksum, **({"backoff": 0.0, "attempts": 3, "timeout": 5.0} | options))


def files(destination):
    return sorted(path.name for path in destination.parent.iterdir())


@pytest.mark.parametrize("act", ["serve", "compressing"])
def test_downloads_a_file(server, destination, act, capfd):
    assert get(destination, server.url(act)) == destination
    assert destination.read_bytes() == CONTENT
    assert files(destination) == ["file"]
    out, err = capfd.readouterr()
    assert "file" in err
    assert "100%" in err
    assert out == ""


def test_does_not_download_what_is_there(server, destination):
    destination.parent.mkdir()
    destination.write_bytes(CONTENT)
    get(destination, server.url("serve"))
    assert server.requests == []


def test_replaces_a_damaged_file(server, destination):
    destination.parent.mkdir()
    destination.write_bytes(CONTENT[:100])
    get(destination, server.url("serve"))
    assert destination.read_bytes() == CONTENT


def test_starts_again_where_the_connection_was_cut(server, destination):
    get(destination, server.url("cut,cut,serve"))
    assert destination.read_bytes() == CONTENT
    assert files(destination) == ["file"]
    assert len(server.requests) == 3


def test_a_part_of_the_file_is_never_kept(server, destination):
    with pytest.raises(InputError, match=f"{HALF} bytes read, {len(CONTENT) - HALF} more expected"):
        get(destination, server.url("cut"), attempts=1)
    assert files(destination) == []


def test_a_file_without_announced_length_that_is_cut_is_refused(server, destination):
    with pytest.raises(InputError, match=f"expected sha256:{SHA256} but got"):
        get(destination, server.url("endless"))
    assert files(destination) == []


def test_a_killed_process_leaves_no_file_under_the_name(server, destination):
    """Its temporary file stays, under another name, and the next call ignores it."""
    code = "import sys; from wedgescape.data.downloads import *; fetch([sys.argv[1]], Path(sys.argv[2]), sys.argv[3])"
    command = [sys.executable, "-c", code, server.url("stuck"), str(destination), f"sha256:{SHA256}"]
    environment = os.environ | {"PYTHONPATH": str(Path(downloads.__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        assert server.half_sent.wait(60)
        process.kill()
    left = files(destination)
    assert "file" not in left
    get(destination, server.url("serve"))
    assert destination.read_bytes() == CONTENT
    assert files(destination) == sorted(["file", *left])


def test_several_may_fetch_the_same_file_at_once(server, destination):
    """Over a damaged one, and while others read it: whoever finds the right checksum has the whole file."""
    destination.parent.mkdir()
    destination.write_bytes(b"damaged")

    def fetch_and_read(_):
        get(destination, server.url("slow"))
        return destination.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fetch_and_read, range(16))) == {CONTENT}
    assert files(destination) == ["file"]
    assert len(server.requests) >= 8


def test_tries_again_where_the_server_is_busy(server, destination):
    get(destination, server.url("busy,busy,serve"))
    assert destination.read_bytes() == CONTENT


def test_waits_twice_as_long_each_time(server, destination, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises(InputError):
        get(destination, server.url("busy"), attempts=4, backoff=3.0)
    assert pauses == [3.0, 6.0, 12.0]
    assert len(server.requests) == 4


@pytest.mark.parametrize("act", ["missing", "wrong", "busy", "cut"])
def test_tries_the_next_mirror(server, destination, act):
    get(destination, server.url(act), server.url("serve"), attempts=1)
    assert destination.read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_wrong_bytes_leave_no_file(server, destination):
    with pytest.raises(InputError) as error:
        get(destination, server.url("wrong"))
    found = hashlib.sha256(b"something else").hexdigest()
    assert re.search(f"{server.url('wrong')}: .* expected sha256:{SHA256} but got {found}", str(error.value))
    assert files(destination) == []
    assert len(server.requests) == 1, "a mirror that gives another file gives it again"


def test_wrong_bytes_do_not_make_a_damaged_file_pass(server, destination):
    destination.parent.mkdir()
    destination.write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(InputError):
            get(destination, server.url("wrong"))
    assert files(destination) == ["file"]
    assert len(server.requests) == 2
    get(destination, server.url("serve"))
    assert destination.read_bytes() == CONTENT


def test_failure_names_every_mirror_and_the_way_out(server, destination):
    with pytest.raises(InputError) as error:
        get(destination, server.url("missing"), server.url("busy"), attempts=2)
    message = str(error.value)
    assert message.startswith("file: the download failed\n")
    assert re.search(re.escape(server.url("missing")) + ": .*404", message)
    assert re.search(re.escape(server.url("busy")) + ": .*503", message)
    assert f"The file must have the checksum sha256:{SHA256}" in message
    assert "`data: {folder: ...}`" in message
    assert [path.split("/")[1] for path in server.requests] == ["missing", "busy", "busy"]


def test_gives_up_a_silent_server(server, destination):
    start = time.monotonic()
    with pytest.raises(InputError, match="timed out"):
        get(destination, server.url("silent"), attempts=1, timeout=0.1)
    assert time.monotonic() - start < 3


def test_no_server(server, destination):
    port = server.server_port
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=rf"127\.0\.0\.1:{port}/x: .*refused"):
        get(destination, f"http://127.0.0.1:{port}/x", attempts=2)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match=r"cannot create the folder .*cache: "):
        get(tmp_path / "cache" / "file", "http://127.0.0.1:9/x")
