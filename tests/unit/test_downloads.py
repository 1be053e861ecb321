"""Downloads against a server on this machine that breaks off, refuses and lies."""

import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from wedgescape.data.downloads import fetch
from wedgescape.errors import InputError

CONTENT = bytes(range(256)) * 1000
HALF = len(CONTENT) // 2
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; a path such as /cut,busy/file plays one act a request, and the last one for ever."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        acts = self.path.split("/")[1].split(",")
        act = acts[min(sum(path == self.path for path, _ in server.requests), len(acts) - 1)]
        server.requests.append((self.path, asked))
        getattr(self, act)(int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0)

    def serve(self, start, content=CONTENT, until=None):
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:until])

    def cut(self, start):
        self.serve(start, until=HALF)

    def whole(self, start):
        self.serve(0)

    def wrong(self, start):
        self.serve(start, content=b"something else")

    def busy(self, start):
        self.send_error(503)

    def missing(self, start):
        self.send_error(404)

    def silent(self, start):
        self.server.closing.wait(10)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        server.closing = threading.Event()
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


def get(destination, *urls, checksum=f"md5:{MD5}", **options):
    return fetch(urls, destination, checksum, **({"backoff": 0.0, "attempts": 3, "timeout": 5.0} | options))


def files(destination):
    return sorted(path.name for path in destination.parent.iterdir())


@pytest.mark.parametrize("checksum", [f"md5:{MD5}", f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"])
def test_downloads_a_file(server, destination, checksum, capfd):
    assert get(destination, server.url("serve"), checksum=checksum) == destination
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


def test_resumes_where_the_connection_was_cut(server, destination):
    get(destination, server.url("cut,serve"))
    assert destination.read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, f"bytes={HALF}-"]


def test_resumes_in_a_later_call(server, destination):
    with pytest.raises(InputError, match=f"closed after {HALF} of {len(CONTENT)} bytes"):
        get(destination, server.url("cut"), attempts=1)
    assert files(destination) == ["file.part"]
    get(destination, server.url("serve"))
    assert destination.read_bytes() == CONTENT
    assert server.requests[-1][1] == f"bytes={HALF}-"


def test_starts_again_where_the_server_knows_no_ranges(server, destination):
    get(destination, server.url("cut,whole"))
    assert destination.read_bytes() == CONTENT


def test_accepts_a_part_that_is_whole(server, destination):
    """As left by a process that was killed before it could move the file into place."""
    destination.parent.mkdir()
    destination.with_name("file.part").write_bytes(CONTENT)
    get(destination, server.url("serve"))
    assert files(destination) == ["file"]


@pytest.mark.parametrize("foreign", [b"foreign", b"foreign" * len(CONTENT)])
def test_discards_a_part_of_another_file(server, destination, foreign):
    destination.parent.mkdir()
    destination.with_name("file.part").write_bytes(foreign)
    get(destination, server.url("serve"))
    assert destination.read_bytes() == CONTENT
    assert server.requests[-1][1] is None


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
    found = hashlib.md5(b"something else").hexdigest()
    assert f"{server.url('wrong')}: found md5 {found}; allowed: md5 {MD5}" in str(error.value)
    assert files(destination) == []
    assert len(server.requests) == 1, "a mirror that gives another file gives it again"


def test_wrong_bytes_leave_not_even_the_damaged_file(server, destination):
    destination.parent.mkdir()
    destination.write_bytes(b"damaged")
    with pytest.raises(InputError):
        get(destination, server.url("wrong"))
    assert files(destination) == []


def test_failure_names_every_mirror_and_the_way_out(server, destination):
    with pytest.raises(InputError) as error:
        get(destination, server.url("missing"), server.url("busy"), attempts=2)
    message = str(error.value)
    assert message.startswith("file: the download failed\n")
    assert re.search(re.escape(server.url("missing")) + ": .*404", message)
    assert re.search(re.escape(server.url("busy")) + ": .*503", message)
    assert f"allowed: a file with md5 {MD5}" in message
    assert "`data: {folder: ...}`" in message
    assert [path.split("/")[1] for path, _ in server.requests] == ["missing", "busy", "busy"]


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
    with pytest.raises(InputError, match=r"cache: found .*; allowed: a folder that can be written"):
        get(tmp_path / "cache" / "file", "http://127.0.0.1:9/x")
