# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to reach an address from a namespace, each tried for real, with what the client saw."""
import os
import socket
import struct
import time

import lab

SYN, ACK = 0x02, 0x10


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def new_socket(space, address, kind=socket.SOCK_STREAM, timeout=2.0):
    with space.inside():
        s = socket.socket(family(address), kind)
    s.settimeout(timeout)
    return s


def http(s, method="GET", path="/latest/meta-data/instance-id", headers=None):
    """One request on a connected socket; the connection stays open. Returns (status, body)."""
    lines = [f"{method} {path} HTTP/1.1", "Host: -", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(4096)
        if not piece:
            raise ConnectionResetError("closed before an answer")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                  if line.lower().startswith(b"content-length"))
    while len(body) < length:
        body += s.recv(4096)
    return int(head.split()[1]), body.decode()


def get(space, address, method="GET", path="/latest/meta-data/instance-id", headers=None, port=80):
    """One request on a connection of its own."""
    with new_socket(space, address) as s:
        s.connect((address, port))
        return http(s, method, path, headers)


def outcome(action):
    """(errno name or "OK", milliseconds) of something that a client does."""
    begin = time.monotonic()
    result = lab.errno_name(action)
    return result, (time.monotonic() - begin) * 1000


def datagram(space, address, size=64, timeout=0.3):
    """Did a datagram come back? Above the link's MTU it travels in fragments."""
    with new_socket(space, address, socket.SOCK_DGRAM, timeout) as s:
        payload = os.urandom(size)
        try:
            s.sendto(payload, (address, 80))
            return s.recv(65535) == payload
        except OSError:
            return False


def source_routed(space, gateway, address, timeout=1.0):
    """Connect by loose source routing: the packet is addressed to the gateway, and names the real
    destination in an IP option that the gateway is asked to follow."""
    def action():
        with new_socket(space, address, timeout=timeout) as s:
            lsrr = bytes([131, 7, 4]) + socket.inet_aton(gateway) + b"\x01"
            s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, lsrr)
            s.connect((address, 80))
    return outcome(action)


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def fragmented_syn(space, source, address, timeout=0.5):
    """A TCP SYN cut inside its header, so that no fragment carries both ports and flags. Was it
    answered with SYN-ACK? Sent raw, hence for IPv4 alone."""
    port, ident = 40000 + os.getpid() % 20000, os.getpid() & 0xffff
    ends = socket.inet_aton(source) + socket.inet_aton(address)
    tcp = struct.pack("!HHIIBBHHH", port, 80, 1, 0, 5 << 4, SYN, 1024, 0, 0)
    check = _checksum(ends + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:]

    def packet(payload, offset, more):
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident, (0x2000 if more else 0) | offset // 8,
                           64, socket.IPPROTO_TCP, 0) + ends + payload
    with space.inside():
        ear = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        mouth = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with ear, mouth:
        mouth.sendto(packet(tcp[:8], 0, True), (address, 0))
        mouth.sendto(packet(tcp[8:], 8, False), (address, 0))
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            ear.settimeout(left)
            try:
                data, peer = ear.recvfrom(2048)
            except TimeoutError:
                return False
            head = (data[0] & 15) * 4
            to, flags = struct.unpack("!H", data[head + 2:head + 4])[0], data[head + 13]
            if peer[0] == address and to == port:
                return flags & (SYN | ACK) == SYN | ACK
    return False
