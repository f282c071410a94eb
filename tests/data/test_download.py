"""Fetching CIFAR-10, from a server on this machine that cuts, forgets and lies."""
import hashlib
import http.server
import io
import tarfile
import threading

import numpy as np
import pytest

from tinyvgg import data
from tinyvgg.data import cifar10, download
from tinyvgg.errors import DataError, TinyVGGError


def archive():
    """A small CIFAR-10 of binary batches as .tar.gz bytes."""
    rng, out = np.random.default_rng(0), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for stem in (*cifar10.TRAIN, "test_batch"):
            records = np.c_[rng.integers(0, 10, (9, 1)), rng.integers(0, 256, (9, 3072))].astype(np.uint8).tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{stem}.bin")
            info.size = len(records)
            tar.addfile(info, io.BytesIO(records))
    return out.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves `body`; cut: bytes sent before each of the first connections breaks; ranges: whether Range is obeyed."""

    daemon_threads = True

    def __init__(self, body, *, cuts=(), ranges=True, status=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.cuts, self.ranges, self.status, self.asked = body, list(cuts), ranges, status, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/cifar-10-python.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        if server.status:
            self.send_error(server.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        body = server.body[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, *_):
        pass


BODY = archive()
CHECK = {"size": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest(), "quiet": True}


@pytest.fixture
def serve():
    servers = []

    def start(*arguments, **settings):
        servers.append(Server(*arguments, **settings))
        return servers[-1]
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_fetch_and_unpack(serve, tmp_path, monkeypatch):
    server = serve(BODY)
    folder = download.download(tmp_path, url=server.url, **CHECK)
    assert len(data.load(folder).x_train) == 45
    assert download.download(tmp_path, url=server.url, **CHECK) == folder and len(server.asked) == 1
    monkeypatch.setenv("TINYVGG_DATA", str(tmp_path))
    assert data.load("cifar10").sha256 == data.load(folder).sha256
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".") or p.suffix == ".part"]


def test_broken_connection_is_continued(serve, tmp_path):
    server = serve(BODY, cuts=[1000, 0, 70_000])
    download.fetch(server.url, tmp_path / "a.tar.gz", **CHECK)
    assert (tmp_path / "a.tar.gz").read_bytes() == BODY
    assert server.asked == [None, "bytes=1000-", "bytes=1000-", "bytes=71000-"]


def test_partial_file_is_continued(serve, tmp_path):
    (tmp_path / "a.tar.gz.part").write_bytes(BODY[:5000])
    server = serve(BODY)
    download.fetch(server.url, tmp_path / "a.tar.gz", **CHECK)
    assert (tmp_path / "a.tar.gz").read_bytes() == BODY and server.asked == ["bytes=5000-"]


def test_server_without_ranges_starts_over(serve, tmp_path):
    (tmp_path / "a.tar.gz.part").write_bytes(BODY[:5000])
    download.fetch(serve(BODY, ranges=False).url, tmp_path / "a.tar.gz", **CHECK)
    assert (tmp_path / "a.tar.gz").read_bytes() == BODY


@pytest.mark.parametrize("body", [b"\0" * len(BODY), BODY + b"more", BODY[:-1] + b"x"])
def test_other_bytes_are_removed(serve, tmp_path, body):
    with pytest.raises(DataError, match="SHA-256 is not"):
        download.download(tmp_path, url=serve(body).url, **CHECK)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_finishes_is_given_up(serve, tmp_path):
    server = serve(BODY, cuts=[100] + [0] * 20)
    with pytest.raises(DataError, match="could not be fetched .* 100 of .* are kept"):
        download.download(tmp_path, url=server.url, **CHECK)
    assert len(server.asked) == 1 + download.ATTEMPTS
    assert (tmp_path / "cifar-10-python.tar.gz.part").stat().st_size == 100


def test_server_says_no(serve, tmp_path):
    with pytest.raises(DataError, match="the server says 404"):
        download.download(tmp_path, url=serve(BODY, status=404).url, **CHECK)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.tar.gz", "no address", "ftq://x/y.tar.gz"])
def test_no_server(tmp_path, url):
    with pytest.raises(DataError):
        download.download(tmp_path, url=url, **CHECK)


def test_folder_that_is_a_file(serve, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(TinyVGGError, match="is a file; expected a folder"):
        download.download(tmp_path / "file", url=serve(BODY).url, **CHECK)


def test_known_archive():
    """Size and hashes of the official archive, as Keras and torchvision know them too."""
    assert (cifar10.BYTES, cifar10.SHA256[:8], len(cifar10.SHA256)) == (170_498_071, "6d958be0", 64)
