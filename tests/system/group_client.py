# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container can try to reach the metadata service, one road after the other.

    group_client.py TIMEOUT [ROAD...]     prints {road: "OK" | errno name | "TIMEOUT"}

Runs where a test has put it: in a namespace whose address the test owns.
"""
import ctypes
import errno
import json
import os
import socket
import struct
import sys

IMDS4, IMDS6 = "169.254.169.254", "fd00:ec2::254"
TIMEOUT = float(sys.argv[1])


def named(action):
    try:
        action()
        return "OK"
    except TimeoutError as e:
        return errno.errorcode[e.errno] if e.errno else "TIMEOUT"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))


def new(family, kind=socket.SOCK_STREAM, protocol=0):
    s = socket.socket(family, kind, protocol)
    s.settimeout(TIMEOUT)
    return s


def tcp4():
    new(socket.AF_INET).connect((IMDS4, 80))


def tcp6():
    new(socket.AF_INET6).connect((IMDS6, 80))


def tcp_mapped():
    new(socket.AF_INET6).connect((f"::ffff:{IMDS4}", 80))


def fast_open():
    """connect() inside of sendto()."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(TIMEOUT), 0))
    s.sendto(b"x", socket.MSG_FASTOPEN, (IMDS4, 80))


def udp4():
    s = new(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b"x", (IMDS4, 80))
    s.recv(10)


def udp6():
    s = new(socket.AF_INET6, socket.SOCK_DGRAM)
    s.sendto(b"x", (IMDS6, 80))
    s.recv(10)


def udp_mapped():
    s = new(socket.AF_INET6, socket.SOCK_DGRAM)
    s.sendto(b"x", (f"::ffff:{IMDS4}", 80))
    s.recv(10)


def udp_connected():
    s = new(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((IMDS4, 80))
    s.send(b"x")
    s.recv(10)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def icmp_raw():
    """A raw socket has no connect() and asks no sendmsg program."""
    s = new(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    echo = struct.pack("!BBHHH", 8, 0, 0, 7, 1)
    echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
    s.sendto(echo, (IMDS4, 0))
    while s.recvfrom(100)[1][0] != IMDS4:
        pass


def icmp6_raw():
    s = new(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    s.sendto(struct.pack("!BBHHH", 128, 0, 0, 7, 1), (IMDS6, 0))
    while s.recvfrom(100)[1][0] != IMDS6:
        pass


def whole_packet():
    """The IP header written by hand."""
    s = new(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    ends = b"\0\0\0\0" + socket.inet_aton(IMDS4)
    s.sendto(struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 17, 0) + ends +
             struct.pack("!HHHH", 4000, 80, 8, 0), (IMDS4, 0))


def mptcp():
    new(socket.AF_INET, socket.SOCK_STREAM, 262).connect((IMDS4, 80))


def foreign_socket():
    """A socket that was made outside of the container and handed in."""
    s = new(socket.AF_INET)
    with open(f"{os.environ['GROUP']}/cgroup.procs", "w") as procs:
        procs.write("0")
    s.connect((IMDS4, 80))


def packet_socket():
    """Below IP: what no cgroup program sees."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    ends = socket.inet_aton("10.0.0.2") + socket.inet_aton(IMDS4)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 17, 0) + ends
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    s.sendto(ip + struct.pack("!HHHH", 4000, 80, 8, 0), ("eth0", 0x0800, 0, 0, b"\xff" * 6))


def elsewhere():
    new(socket.AF_INET).connect(("10.0.0.1", 80))


ROADS = {f.__name__: f for f in (tcp4, tcp6, tcp_mapped, fast_open, udp4, udp6, udp_mapped, udp_connected, icmp_raw,
                                 icmp6_raw, whole_packet)}
MORE = {f.__name__: f for f in (mptcp, foreign_socket, packet_socket, elsewhere)}

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, 9)
    wanted = sys.argv[2:] or list(ROADS)
    print(json.dumps({name: named({**ROADS, **MORE}[name]) for name in wanted}))
