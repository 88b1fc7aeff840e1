# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker whose answers say 200 and tell of a failure inside."""
import http.server
import json
import socketserver
import subprocess
import threading
import urllib.parse

import images
import lab
import pytest

OLD = "sha256:" + "1" * 64


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def daemon(scratch):
    """Exports state["archive"], answers a load with state["answer"], and notes what it was asked."""
    state = {"archive": b"", "answer": b'{"stream":"Loaded image: demo:1\\n"}\n', "tags": [], "loaded": [], "exported": [],
             "store": lambda name: OLD}

    class Handler(http.server.BaseHTTPRequestHandler):
        def address_string(self):
            return "unix"

        def log_message(self, *_):
            pass

        def answer(self, body, status=200):
            self.send_response(status)
            self.send_header("Api-Version", "1.43")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self):
            self.answer(b"")

        def do_GET(self):
            if "/images/get" in self.path:
                state["exported"].append(urllib.parse.unquote(self.path.split("names=")[1]))
                self.answer(state["archive"])
            elif self.path.endswith("/json"):
                name = urllib.parse.unquote(self.path.split("/images/")[1][:-len("/json")])
                found = state["store"](name)
                self.answer(json.dumps({"Id": found} if found else {"message": "No such image"}).encode(), 200 if found else 404)
            elif self.path.endswith("/version"):
                self.answer(b'{"ApiVersion": "1.43", "MinAPIVersion": "1.12"}')
            else:
                self.answer(b"OK")

        def do_POST(self):
            data = b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "/images/load" in self.path:
                state["loaded"].append(data)
                self.answer(state["answer"])
            else:
                state["tags"].append(self.path)
                self.answer(b"", 201)

    path = scratch / "docker.sock"
    with Server(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        state["url"] = f"unix://{path}"
        source = images.docker_25(scratch / "in.tar", [images.layer({"bin/su": (0o4755, b"x" * 3000)})])
        state["archive"] = source.read_bytes()
        yield state
        server.shutdown()


def strip(daemon, destination="docker-daemon:demo:1"):
    return subprocess.run([lab.BATTEN, "image", "strip", "--docker", daemon["url"], "docker-daemon:demo:1", destination], capture_output=True,
                          text=True, timeout=60)


def test_what_is_loaded_is_clean_and_the_old_name_is_kept(daemon, scratch):
    p = strip(daemon)
    assert p.returncode == 0 and "kept as demo:1-unstripped" in p.stderr, p.stderr
    (scratch / "loaded.tar").write_bytes(daemon["loaded"][0])
    assert all(not images.marked(l) for _, layers in images.images(scratch / "loaded.tar") for l in layers)
    assert "tag=1-unstripped" in daemon["tags"][0] and OLD in daemon["tags"][0].replace("%3A", ":").replace("%3a", ":")


@pytest.mark.parametrize("source", ["docker-daemon:demo:1", "archive"])
@pytest.mark.parametrize("said", ["Loaded image: demo:1", "Loaded image ID: sha256:" + "3" * 64])
def test_a_containerd_store_names_images_by_their_manifests(daemon, scratch, source, said):
    """As Docker 29 does: a configuration's digest means nothing to it; what it said that it loaded does."""
    name, new = said.split(": ", 1)[1], "sha256:" + "2" * 64
    daemon["answer"] = json.dumps({"stream": said + "\n"}).encode() + b"\n"
    daemon["store"] = lambda asked: (new if asked == name and daemon["loaded"] else OLD if asked in ("demo:1", "other:2") else None)
    p = subprocess.run([lab.BATTEN, "image", "strip", "--docker", daemon["url"], scratch / "in.tar" if source == "archive" else source,
                        "docker-daemon:other:2"], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0 and "kept as other:2-unstripped" in p.stderr, p.stderr
    tags = [urllib.parse.unquote(t) for t in daemon["tags"]]
    assert OLD in tags[0] and "repo=other&tag=2-unstripped" in tags[0]
    assert new in tags[-1] and tags[-1].endswith("repo=other&tag=2")
    # The source's own tag is given back, when loading has moved it.
    moved = source != "archive" and name == "demo:1"
    assert len(tags) == 2 + moved and all(OLD in t and t.endswith("repo=demo&tag=1") for t in tags[1:-1])


@pytest.mark.parametrize("source", ["1" * 12, "1" * 64, OLD, "demo@" + OLD])
def test_an_image_without_a_tag_gets_none(daemon, source):
    """Asked for by an id or a digest it carries no tag, and there is none to give back."""
    new = "sha256:" + "2" * 64
    daemon["answer"] = json.dumps({"stream": f"Loaded image ID: {new}\n"}).encode() + b"\n"
    daemon["store"] = lambda asked: new if asked == new and daemon["loaded"] else OLD if asked == source else None
    p = subprocess.run([lab.BATTEN, "image", "strip", "--docker", daemon["url"], f"docker-daemon:{source}", "docker-daemon:other:2"],
                       capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr
    tags = [urllib.parse.unquote(t) for t in daemon["tags"]]
    assert len(tags) == 1 and new in tags[0] and tags[0].endswith("repo=other&tag=2")


def test_a_destination_in_other_words_is_the_new_image(daemon):
    new = "sha256:" + "2" * 64
    daemon["store"] = lambda asked: new if daemon["loaded"] else OLD
    p = strip(daemon, "docker-daemon:docker.io/library/demo:1")
    assert p.returncode == 0, p.stderr
    assert new in urllib.parse.unquote(daemon["tags"][-1]) and "library" in daemon["tags"][-1]


@pytest.mark.parametrize("failure", ["behind the end", "instead of the end", "nothing"])
def test_an_export_that_failed(daemon, failure):
    whole, error = daemon["archive"], b'{"message":"layer does not exist"}\n'
    daemon["archive"] = {"behind the end": whole + error, "instead of the end": whole[:len(whole) // 2 // 512 * 512] + error,
                         "nothing": b""}[failure]
    p = strip(daemon)
    assert p.returncode in (2, 3) and p.stderr.count("\n") == 1, p.stderr
    assert daemon["loaded"] == [] and daemon["tags"] == []


@pytest.mark.parametrize("answer,word", [
    (b'{"errorDetail":{"message":"no space left"},"error":"no space left"}\n', "no space left"),
    (b'{"stream":"Loaded image: demo:1\\n"}\n{"errorDetail":{"message":"later"},"error":"later"}\n', "later"),
    (b'{"status":"Loading layer"}\n', "did not say"), (b"", "did not say")])
def test_a_load_that_failed(daemon, answer, word):
    daemon["answer"] = answer
    p = strip(daemon)
    assert p.returncode == 4 and word in p.stderr and p.stderr.count("\n") == 1, p.stderr
    # The old name was given before; the new image got none.
    assert all("unstripped" in t for t in daemon["tags"])


@pytest.mark.parametrize("asked,there,wanted", [("demo", ["demo:latest"], "demo:latest"), ("host:5000/demo", ["host:5000/demo:latest"], "host:5000/demo:latest"),
                                                ("1111", ["1111"], OLD), ("demo:1", ["demo:1"], "demo:1"), ("a/b@" + OLD, [], "a/b@" + OLD)])
def test_one_image_is_exported(daemon, scratch, asked, there, wanted):
    """By a name without a tag Docker gives all images of that name."""
    daemon["store"] = lambda name: OLD if name in there else None
    p = subprocess.run([lab.BATTEN, "image", "inspect", "--docker", daemon["url"], f"docker-daemon:{asked}"], capture_output=True, text=True)
    assert p.returncode == 1 and daemon["exported"] == [wanted], p.stderr
    p = subprocess.run([lab.BATTEN, "image", "inspect", "--docker", daemon["url"], "docker-daemon:nosuch"], capture_output=True, text=True)
    assert p.returncode in (2, 3) and "tag" in p.stderr and p.stderr.count("\n") == 1 and daemon["exported"] == [wanted]


def test_several_images_have_no_one_reference(daemon, scratch):
    """Which of them it would name is not for us to choose; nothing is loaded."""
    one, two = [images.layer({f"bin/su{n}": (0o4755, b"x" * 3000)}) for n in range(2)]
    files = [images.read(images.docker_25(scratch / f"{n}.tar", [l], tags=(f"demo:{n}",))) for n, l in enumerate((one, two))]
    both = {**files[0], **files[1]}
    both["manifest.json"] = json.dumps([json.loads(f["manifest.json"])[0] for f in files]).encode()
    both["index.json"] = json.dumps({**json.loads(files[0]["index.json"]), "manifests": [
        m for f in files for m in json.loads(f["index.json"])["manifests"]]}).encode()
    both.pop("repositories", None)
    source = images.write_tar(scratch / "both.tar", both)
    p = subprocess.run([lab.BATTEN, "image", "strip", "--docker", daemon["url"], source, "docker-daemon:demo:1"], capture_output=True, text=True)
    assert p.returncode == 2 and "several" in p.stderr and p.stderr.count("\n") == 1, p.stderr
    assert daemon["loaded"] == [] and daemon["tags"] == []
    p = subprocess.run([lab.BATTEN, "image", "strip", source, "-"], capture_output=True)
    assert p.returncode == 0
