# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of Docker as batten asks of it, on a Unix socket: containers that a test puts together of
processes it started. Its mood can be spoilt at any time."""
import json
import os
import pathlib
import queue
import re
import socketserver
import threading
import time

import groups

ECS = "com.amazonaws.ecs."
DAEMON = {"info": {"ServerVersion": "24.0.5", "SecurityOptions": ["name=seccomp,profile=builtin"], "DockerRootDir": "/var/lib/docker",
                   "LiveRestoreEnabled": True, "RegistryConfig": {"IndexConfigs": {}}},
          "version": {"Version": "24.0.5", "Components": []}, "images/json": [], "networks/bridge": {"Options": {}}}


class DockerStandin:
    """with DockerStandin(path) as d: c = d.add(...); d.start(c); d.die(c)"""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.containers = {}
        self.answers = {}  # by path: what else it says, "version"
        self.mood = "well"
        self.asked = []  # paths, in order
        self.whole = False  # also what only an audit asks: the daemon, its images and networks
        self._streams = []
        self._ids = 0

    @property
    def url(self):
        return f"unix://{self.path}"

    def __enter__(self):
        standin = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                standin._serve(self)

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            request_queue_size = 64

        self.path.unlink(missing_ok=True)
        self._server = Server(str(self.path), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self.cut_streams()
        self.path.unlink(missing_ok=True)

    # ---- what a test does

    def new_id(self):
        self._ids += 1
        return f"{os.getpid():032x}{self._ids:032x}"

    def add(self, name, pid=0, network="bridge", address="", address6="", labels=None, image="busybox:1", id=None, **host):
        id = id or self.new_id()
        mounts = host.pop("mounts", [])
        self.containers[id] = {
            "Id": id, "Name": f"/{name}", "Image": f"sha256:{'1' * 64}", "Path": "sleep", "Args": [],
            "State": {"Running": pid > 0, "Pid": pid}, "Mounts": mounts,
            "Config": {"Image": image, "Labels": labels or {}, "Env": []},
            "HostConfig": {"NetworkMode": network, **host},
            "NetworkSettings": {"Networks": {network: {"IPAddress": address, "GlobalIPv6Address": address6}}}}
        return id

    def event(self, action, id, kind="container"):
        line = json.dumps({"Type": kind, "Action": action, "Actor": {"ID": id, "Attributes": {}}, "id": id})
        for stream in list(self._streams):
            stream.put((line + "\n").encode())

    def raw_event(self, data):
        for stream in list(self._streams):
            stream.put(data)

    def start(self, id, pid):
        self.containers[id]["State"] = {"Running": True, "Pid": pid}
        self.event("start", id)

    def die(self, id):
        self.containers[id]["State"] = {"Running": False, "Pid": 0}
        self.event("die", id)

    def cut_streams(self):
        for stream in list(self._streams):
            stream.put(None)

    @property
    def listeners(self):
        return len(self._streams)

    # ---- what Docker does

    def _serve(self, h):
        request = h.rfile.readline().decode().split()
        while h.rfile.readline().strip():
            pass
        if len(request) < 2:
            return
        path = request[1].split("/", 2)[2] if request[1].startswith("/v1.") else request[1].lstrip("/")
        self.asked.append(path)
        try:
            if self.mood == "hang":
                time.sleep(30)
            elif self.mood == "garbage":
                h.wfile.write(b"\x00\xff" * 4000)
            elif self.mood == "error":
                self._answer(h, {"message": "server is sad"}, 500)
            elif self.mood == "cut":
                h.wfile.write(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 1000\r\n\r\n[")
            elif self.mood == "endless":
                h.wfile.write(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    h.wfile.write(b"10000\r\n" + b"[" * 0x10000 + b"\r\n")
            elif self.mood == "types" and path != "_ping":
                self._answer(h, {"Id": 7, "State": [], "Config": "x"})
            else:
                self._well(h, path)
        except OSError:
            pass

    def _well(self, h, path):
        if path == "_ping":
            self._answer(h, "OK")
        elif path.startswith("containers/json"):
            running = [c for c in self.containers.values() if c["State"]["Running"] or "all=true" in path]
            if wanted := re.search("%22([0-9a-f]{64})%22", path):
                self._answer(h, [self._row(c) for c in running if c["Id"] == wanted[1]])
                return
            self._answer(h, [{"Id": c["Id"]} for c in running])
        elif path.startswith("containers/"):
            c = self.containers.get(path.split("/")[1])
            self._answer(h, c or {"message": "No such container"}, 200 if c else 404)
        elif path.startswith("events"):
            self._stream(h)
        elif path in self.answers:
            self._answer(h, self.answers[path])
        elif self.whole and path in DAEMON:
            self._answer(h, DAEMON[path])
        else:
            self._answer(h, {"message": "page not found"}, 404)

    @staticmethod
    def _row(c):
        return {"Id": c["Id"], "Names": [c["Name"]], "Image": c["Config"]["Image"], "ImageID": c["Image"],
                "Labels": c["Config"]["Labels"], "State": "running" if c["State"]["Running"] else "created",
                "HostConfig": {"NetworkMode": c["HostConfig"]["NetworkMode"]}, "Mounts": c["Mounts"]}

    @staticmethod
    def _answer(h, body, status=200):
        text = body if isinstance(body, str) else json.dumps(body)
        h.wfile.write(f"HTTP/1.1 {status} X\r\nApi-Version: 1.41\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

    def _stream(self, h):
        mine = queue.Queue()
        h.wfile.write(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._streams.append(mine)
        try:
            while True:
                data = mine.get()
                if data is None:
                    return
                h.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        finally:
            self._streams.remove(mine)


class Tasks:
    """Containers as ECS makes them, of sleeping processes in groups of their own."""

    def __init__(self, tree, docker):
        self.tree, self.docker = tree, docker
        self._made = {}

    def run(self, name, space, network="host", family="web", role=None, start=True, **options):
        """Returns the container's id; the process sleeps in @space and in the container's group."""
        id = self.docker.new_id()
        task = f"{int(id[32:], 16):032x}"
        labels = {**({} if role == "plain" else {
            f"{ECS}task-arn": f"arn:aws:ecs:eu-central-1:000000000000:task/blue/{task}", f"{ECS}container-name": name,
            f"{ECS}task-definition-family": family, f"{ECS}task-definition-version": "1",
            f"{ECS}cluster": "blue"}), **options.pop("labels", {})}
        where = f"system.slice/docker-{id}.scope" if role == "plain" else \
            f"{groups.SLICE}/ecstasks-{task}.slice/docker-{id}.scope"
        group = self.tree.make(where)
        p = groups.start(group, space, "sleep", "1000")
        self.docker.add(name, p.pid, network, labels=labels, id=id, **options)
        self._made[id] = (group, p)
        if start:
            self.docker.start(id, p.pid)
        return id

    def group(self, id):
        return self._made[id][0]

    def stop(self, id):
        p = self._made[id][1]
        p.kill()
        p.wait()
        self.docker.die(id)
