#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins of the two services that a task may ask for credentials. Each runs in a network
namespace that a test made and that owns the address it listens on.

    imds_standin.py imds [--tokens required] ADDRESS...      the metadata service, port 80
    imds_standin.py credentials ADDRESS PORT                 the ECS agent's credentials endpoint

Prints "up" when it listens. Over TCP it speaks HTTP/1.1; over UDP it sends every datagram back
(the real service does not: a test sees with it what a packet filter let through).
"""
import hashlib
import json
import os
import socket
import sys
import threading
import time

ROLE = "ecsInstanceRole"
MAX_HEAD = 8192
MAX_TTL = 21600


def credentials(role):
    return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIASTANDIN000000000",
                       "SecretAccessKey": "stand-in, opens nothing", "Token": "stand-in", "RoleArn":
                       f"arn:aws:iam::000000000000:role/{role}", "Expiration": "2099-01-01T00:00:00Z"})


class Metadata:
    """IMDSv1 and, with tokens required, IMDSv2 alone."""

    def __init__(self, tokens_required):
        self.tokens_required = tokens_required
        self._tokens = {}
        prefix = "/latest/meta-data/"
        self._tree = {
            "/latest/dynamic/instance-identity/document": json.dumps({"instanceId": "i-0123456789abcdef0",
                                                                      "region": "eu-central-1"}),
            prefix: "iam/\ninstance-id\nplacement/",
            prefix + "instance-id": "i-0123456789abcdef0",
            prefix + "placement/region": "eu-central-1",
            prefix + "iam/security-credentials/": ROLE,
            prefix + "iam/security-credentials/" + ROLE: credentials(ROLE),
        }

    def answer(self, method, path, headers):
        """(status, extra headers, body)"""
        if path == "/latest/api/token":
            return self._new_token(method, headers)
        if method != "GET":
            return 405, {}, ""
        token = headers.get("x-aws-ec2-metadata-token")
        if token is None and self.tokens_required:
            return 401, {}, ""
        if token is not None and self._tokens.get(token, 0) < time.monotonic():
            return 401, {}, ""
        body = self._tree.get(path, self._tree.get(path + "/"))
        return (404, {}, "") if body is None else (200, {}, body)

    def _new_token(self, method, headers):
        if method != "PUT":
            return 405, {}, ""
        if "x-forwarded-for" in headers:  # asked through a proxy: the service refuses
            return 403, {}, ""
        ttl = headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        if not ttl.isdigit() or not 1 <= int(ttl) <= MAX_TTL:
            return 400, {}, ""
        token = hashlib.sha256(os.urandom(32)).hexdigest()
        self._tokens[token] = time.monotonic() + int(ttl)
        return 200, {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": ttl}, token


class Credentials:
    """What a task finds behind AWS_CONTAINER_CREDENTIALS_RELATIVE_URI."""

    def answer(self, method, path, headers):
        if method != "GET":
            return 405, {}, ""
        return (200, {}, credentials("taskRole")) if path.startswith("/v2/credentials/") else (404, {}, "")


def serve_connection(service, c):
    data = b""
    with c:
        while True:
            while b"\r\n\r\n" not in data:
                piece = c.recv(MAX_HEAD)
                if not piece or len(data) > MAX_HEAD:
                    return
                data += piece
            head, data = data.split(b"\r\n\r\n", 1)
            request, *lines = head.decode("latin-1").split("\r\n")
            method, path, _ = (request.split(" ") + ["", "", ""])[:3]
            headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            status, extra, body = service.answer(method, path, headers)
            answer = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}", "Content-Type: text/plain",
                      "Server: EC2ws", *(f"{k}: {v}" for k, v in extra.items())]
            c.sendall(("\r\n".join(answer) + "\r\n\r\n" + body).encode())
            if headers.get("connection", "").lower() == "close":
                return


def serve_tcp(service, listener):
    def one(c):
        try:
            serve_connection(service, c)
        except OSError:
            pass  # the client went away, which is what half of the tests do
    while True:
        c, _ = listener.accept()
        threading.Thread(target=one, args=(c,), daemon=True).start()


def serve_udp(s):
    while True:
        try:
            data, peer = s.recvfrom(65535)
            s.sendto(data, peer)
        except OSError:
            pass


def main(arguments):
    kind, *rest = arguments
    if kind == "imds":
        required = rest[:2] == ["--tokens", "required"]
        service, places = Metadata(required), [(a, 80) for a in (rest[2:] if required else rest)]
    else:
        service, places = Credentials(), [(rest[0], int(rest[1]))]
    threads = []
    for address, port in places:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address, port))
        tcp.listen(1024)
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.bind((address, port))
        threads += [threading.Thread(target=serve_tcp, args=(service, tcp), daemon=True),
                    threading.Thread(target=serve_udp, args=(udp,), daemon=True)]
    for t in threads:
        t.start()
    print("up", flush=True)
    threads[0].join()


if __name__ == "__main__":
    main(sys.argv[1:])
