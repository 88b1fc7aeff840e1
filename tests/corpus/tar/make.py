# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar vectors: each with the reading that is right, or a word of the reason why it must be refused.

Readers differ about these in practice: Go (container runtimes), GNU tar, bsdtar, Python. An accepted
vector says which members carry what; a refused one is refused because at least two of the four read
names, modes, capabilities or the ends of members differently, or because no reader should accept it.

    python3 make.py DIRECTORY    writes every vector as a file, for a fuzzer's corpus
"""
import pathlib
import sys

CAPS = bytes([1, 0, 0, 2, 0, 0x20, 0, 0] + [0] * 12)
SCHILY = b"SCHILY.xattr.security.capability"
LIBARCHIVE = b"LIBARCHIVE.xattr.security.capability"


def block(name=b"f", mode=b"0000644\0", size=b"00000000000\0", type=b"0", link=b"", magic=b"ustar\x0000", prefix=b"",
          uid=b"0000000\0", mtime=b"00000000000\0", signed=False, checksum=None, tail=b""):
    b = bytearray(512)
    for at, value in ((0, name), (100, mode), (108, uid), (116, b"0000000\0"), (124, size), (136, mtime), (156, type),
                      (157, link), (257, magic), (345, prefix), (512 - len(tail), tail)):
        b[at:at + len(value)] = value
    b[148:156] = b" " * 8
    total = sum((c - 256 if c > 127 and signed else c) for c in b)
    b[148:156] = checksum or b"%06o\0 " % total
    assert len(b) == 512
    return bytes(b)


def octal(n, width=11):
    return b"%0*o\0" % (width, n)


def pad(data):
    return data + bytes(-len(data) % 512)


def member(content=b"", **fields):
    return block(size=octal(len(content)), **fields) + pad(content)


def record(key, value):
    n = len(key) + len(value) + 3
    while len(b"%d" % n) + len(key) + len(value) + 3 != n:
        n = len(b"%d" % n) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (n, key, value)


def pax(*records, type=b"x"):
    return member(b"".join(records), name=b"PaxHeaders/f", type=type)


END = bytes(1024)
SUID = b"0004755\0"
CAP = record(SCHILY, CAPS)


def ok(data, *found):
    """found: (path, mode bits, has capabilities)"""
    return data, list(found), None


def no(data, word):
    return data, None, word


GNU = b"ustar  \0"


def pieces(*list, n=4):
    """A map of GNU's: where each piece stands, and how long it is; None is an empty entry."""
    return b"".join(p if isinstance(p, bytes) else octal(p[0]) + octal(p[1]) if p else bytes(24) for p in list).ljust(24 * n, b"\0")


def sparse(*list, more=b"\0"):
    end = max([sum(p) for p in list if p and not isinstance(p, bytes)], default=5)
    return block(type=b"S", mode=SUID, magic=GNU, size=octal(5), prefix=bytes(41) + pieces(*list) + more + octal(end))


FOUR = (0, 1), (512, 1), (1024, 1), (2048, 1)
LONG = b"d/" * 80 + b"name"
VECTORS = {
    # What everybody reads alike.
    "ustar": ok(member(b"x", mode=SUID) + END, ("/f", 0o4755, False)),
    "v7": ok(member(b"x", mode=b"004755 \0", magic=b"") + END, ("/f", 0o4755, False)),
    "gnu": ok(member(b"x", mode=SUID, magic=GNU) + END, ("/f", 0o4755, False)),
    "star": ok(member(b"x", mode=SUID, tail=b"tar\0") + END, ("/f", 0o4755, False)),
    "prefix": ok(member(name=b"su", prefix=b"usr/bin", mode=SUID) + END, ("/usr/bin/su", 0o4755, False)),
    "full-name": ok(member(name=b"n" * 100, mode=SUID) + END, ("/" + "n" * 100, 0o4755, False)),
    "blanks-around-the-mode": ok(member(mode=b"  4755 \0") + END, ("/f", 0o4755, False)),
    "mode-without-an-end": ok(member(mode=b"00004755") + END, ("/f", 0o4755, False)),
    "mode-with-type-bits": ok(member(mode=b"0106755\0") + END, ("/f", 0o6755, False)),
    "binary-mode": ok(member(mode=b"\x80\0\0\0\0\0\x09\xed") + END, ("/f", 0o4755, False)),
    "huge-mode": ok(member(mode=b"77777777") + END, ("/f", 0o7777, False)),
    "sticky-stays": ok(member(mode=b"0001777\0", type=b"5", name=b"tmp/") + END),
    "signed-checksum": ok(block(name=b"\xff\xfe", mode=SUID, signed=True) + END, ("/\xff\xfe", 0o4755, False)),
    "binary-size": ok(block(mode=SUID, size=b"\x80" + bytes(10) + b"\x05") + pad(b"12345") + member(name=b"g", mode=SUID) + END,
                      ("/f", 0o4755, False), ("/g", 0o4755, False)),
    "hard-link": ok(member() + member(name=b"g", type=b"1", link=b"f", mode=SUID) + END, ("/g", 0o4755, False)),
    "hard-link-with-an-old-size": ok(block(name=b"g", type=b"1", link=b"f", mode=SUID, size=octal(512)) +
                                     member(name=b"h", mode=SUID) + END, ("/g", 0o4755, False), ("/h", 0o4755, False)),
    "symlink": ok(member(type=b"2", link=b"x", mode=SUID) + END, ("/f", 0o4755, False)),
    "old-directory": ok(member(name=b"d/", type=b"\0", mode=b"0002755\0") + END, ("/d", 0o2755, False)),
    "dots-in-the-name": ok(member(name=b"./a/../b//c/.", mode=SUID) + END, ("/b/c", 0o4755, False)),
    "pax-path": ok(pax(record(b"path", LONG)) + member(mode=SUID) + END, ("/" + LONG.decode(), 0o4755, False)),
    "pax-size": ok(pax(record(b"size", b"700")) + block(mode=SUID) + pad(b"y" * 700) + member(name=b"g", mode=SUID) + END,
                   ("/f", 0o4755, False), ("/g", 0o4755, False)),
    "pax-caps": ok(pax(CAP) + member(b"x") + END, ("/f", 0o644, True)),
    "pax-caps-of-libarchive": ok(pax(record(LIBARCHIVE, b"AQAAAgAgAAAAAAAAAAAAAAAAAAA")) + member(b"x") + END, ("/f", 0o644, True)),
    "pax-caps-percent-encoded": ok(pax(record(b"LIBARCHIVE.xattr.security%2Ecapability", b"AQAAAg")) + member(b"x") + END,
                                   ("/f", 0o644, True)),
    "pax-caps-in-both": ok(pax(CAP, record(LIBARCHIVE, b"AQAAAgAgAAAA")) + member(b"x", mode=SUID) + END, ("/f", 0o4755, True)),
    "pax-caps-twice": ok(pax(CAP, record(SCHILY, b"")) + member(b"x") + END, ("/f", 0o644, True)),
    "pax-other-records": ok(pax(record(b"mtime", b"1.5"), record(b"SCHILY.xattr.user.x", b"\n\0="), record(b"comment", b"c")) +
                            member(b"x") + END),
    "pax-override-stat": ok(pax(record(b"SCHILY.xattr.user.containers.override_stat", b"0:0:04755:file")) + member(b"x") + END,
                            ("/f", 0o4755, False)),
    "pax-override-stat-of-fuse-overlayfs": ok(pax(record(b"SCHILY.xattr.security.fuseoverlayfs.override_stat", b"0:0:02755:file")) +
                                              member(b"x") + END, ("/f", 0o2755, False)),
    "pax-newline-in-caps": ok(pax(record(SCHILY, b"\n" + CAPS)) + member(b"x") + END, ("/f", 0o644, True)),
    "global-caps": ok(pax(CAP, type=b"g") + member(b"x") + END, ("/", 0, True)),
    "global-comment": ok(pax(record(b"comment", b"0" * 40), type=b"g") + member(b"x", mode=SUID) + END, ("/f", 0o4755, False)),
    "gnu-long-name": ok(member(LONG + b"\0", name=b"././@LongLink", type=b"L", magic=GNU) + member(mode=SUID, magic=GNU) + END,
                        ("/" + LONG.decode(), 0o4755, False)),
    "gnu-long-link": ok(member(LONG + b"\0", type=b"K", magic=GNU) + member(LONG + b"x\0", type=b"L", magic=GNU) +
                        member(type=b"1", mode=SUID, magic=GNU) + END, ("/" + LONG.decode() + "x", 0o4755, False)),
    "gnu-sparse": ok(sparse((0, 5)) + pad(b"12345") + member(name=b"g", mode=SUID) + END,
                     ("/f", 0o4755, False), ("/g", 0o4755, False)),
    "gnu-sparse-map": ok(sparse(*FOUR, more=b"\1") + pieces((4096, 1), n=21) + bytes(8) + pad(b"12345") + member(name=b"g", mode=SUID) +
                         END, ("/f", 0o4755, False), ("/g", 0o4755, False)),
    "pax-sparse": ok(pax(record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0"), record(b"GNU.sparse.name", b"s"),
                         record(b"GNU.sparse.realsize", b"9")) + member(b"0\n" + bytes(510), mode=SUID) + END, ("/s", 0o4755, False)),
    "no-end": ok(member(b"x", mode=SUID), ("/f", 0o4755, False)),
    "half-an-end": ok(member(b"x", mode=SUID) + bytes(512), ("/f", 0o4755, False)),
    "no-padding-at-the-end": ok(block(mode=SUID, size=octal(3)) + b"xyz", ("/f", 0o4755, False)),
    "zeros-behind-the-end": ok(member(mode=SUID) + END + bytes(9000), ("/f", 0o4755, False)),
    "a-tar-behind-the-end": ok(member(mode=SUID) + END + member(name=b"g", mode=SUID) + END, ("/f", 0o4755, False)),
    "nothing": ok(b""),
    "only-an-end": ok(END),
    # What readers disagree about, or nobody should read.
    "nul-in-the-mode": no(member(mode=b"000\x004755") + END, "mode"),
    "letters-in-the-mode": no(member(mode=b"4755abc\0") + END, "mode"),
    "a-nine-in-the-mode": no(member(mode=b"0004795\0") + END, "mode"),
    "negative-mode": no(member(mode=b"\xff" * 8) + END, "mode"),
    "wrong-checksum": no(block(mode=SUID, checksum=b"000000\0 ") + END, "checksum"),
    "negative-size": no(block(size=b"\xff" * 12) + END, "size"),
    "huge-size": no(block(size=b"\x80" + b"\xff" * 11) + END, "size"),
    "size-beyond-the-end": no(block(size=octal(2000)) + bytes(512), "short"),
    "one-zero-block-then-data": no(member() + bytes(512) + member(mode=SUID) + END, "zeros"),
    "two-pax-headers": no(pax(CAP) + pax(record(b"mtime", b"1")) + member() + END, "two extended"),
    "pax-then-global": no(pax(CAP) + pax(record(b"comment", b"x"), type=b"g") + member() + END, "two extended"),
    "pax-at-the-end": no(pax(CAP) + END, "extended header"),
    "pax-size-on-a-hard-link": no(pax(record(b"size", b"512")) + member(type=b"1", link=b"g", mode=SUID) +
                                  block(name=b"hidden", mode=SUID) + END, "disagree"),
    "size-on-a-hard-link-after-pax": no(pax(record(b"mtime", b"1")) + member() +
                                        block(type=b"1", link=b"g", size=octal(512)) + member() + END, "disagree"),
    "symlink-with-contents": no(block(type=b"2", link=b"x", size=octal(512)) + bytes(512) + END, "disagree"),
    "directory-with-contents": no(block(type=b"5", size=octal(512)) + bytes(512) + END, "disagree"),
    "file-with-a-slash": no(member(name=b"f/", mode=SUID) + END, "slash"),
    "size-twice": no(pax(record(b"size", b"1"), record(b"size", b"600")) + member(b"x") + END, "twice"),
    "path-twice": no(pax(record(b"path", b"a"), record(b"path", b"b")) + member() + END, "twice"),
    "empty-path": no(pax(record(b"path", b"")) + member() + END, "empty"),
    "path-with-a-nul": no(pax(record(b"path", b"a\0b")) + member() + END, "empty or broken"),
    "path-and-long-name": no(member(b"a\0", type=b"L", magic=GNU) + pax(record(b"path", b"b")) + member() + END, "two ways"),
    "long-name-with-more-behind": no(member(b"a\0b", type=b"L", magic=GNU) + member() + END, "long name"),
    "signed-pax-size": no(pax(record(b"size", b"+1")) + member(b"x") + END, "size"),
    "negative-pax-size": no(pax(record(b"size", b"-1")) + member(b"x") + END, "size"),
    "pax-length-with-a-zero": no(pax(b"012 a=bcdefg\n") + member() + END, "malformed"),
    "pax-length-too-long": no(pax(b"99 a=b\n") + member() + END, "malformed"),
    "pax-length-too-short": no(pax(b"3 a=b\n") + member() + END, "malformed"),
    "pax-without-a-key": no(pax(b"5 =b\n") + member() + END, "no key"),
    "global-path": no(pax(record(b"path", b"x"), type=b"g") + member() + END, "global"),
    "global-size": no(pax(record(b"size", b"1"), type=b"g") + member() + END, "global"),
    "sparse-name-alone": no(pax(record(b"GNU.sparse.name", b"x")) + member() + END, "sparse"),
    "gnu-sparse-ended-and-more": no(sparse((0, 5), more=b"\1") + bytes(512) + member(name=b"g", mode=SUID) + END, "sparse map"),
    "gnu-sparse-without-a-map": no(sparse() + pad(b"12345") + member(name=b"g", mode=SUID) + END, "sparse map"),
    "gnu-sparse-of-another-sum": no(sparse((0, 4)) + pad(b"12345") + END, "sparse map"),
    "gnu-sparse-backwards": no(sparse((512, 4), (0, 1)) + pad(b"12345") + END, "sparse map"),
    "gnu-sparse-with-a-gap": no(sparse((0, 4), None, (512, 1)) + pad(b"12345") + END, "sparse map"),
    "gnu-sparse-half-an-entry": no(sparse((0, 5), b"0" * 11 + bytes(13)) + pad(b"12345") + END, "sparse map"),
    "sparse-of-an-unknown-version": no(pax(record(b"GNU.sparse.major", b"2"), record(b"GNU.sparse.minor", b"0"),
                                           record(b"GNU.sparse.name", b"x")) + member(mode=SUID) + END, "unknown version"),
    "sparse-in-ustar": no(block(type=b"S") + END, "sparse"),
    "gnu-with-a-prefix": no(member(magic=GNU, prefix=b"usr/bin") + END, "prefix"),
    "star-with-a-full-prefix": no(member(prefix=b"p" * 140, tail=b"tar\0") + END, "prefix"),
    "unknown-type": no(member(type=b"Z") + END, "unknown type"),
    "volume-label": no(member(type=b"V", magic=GNU) + END, "unknown type"),
    "solaris-header": no(member(type=b"X") + END, "unknown type"),
    "override-stat-unreadable": no(pax(record(b"SCHILY.xattr.user.containers.override_stat", b"04755")) + member() + END, "override_stat"),
    "pax-of-a-gibibyte": no(block(type=b"x", size=octal(1 << 30)) + bytes(5000), "more than"),
    "long-name-of-a-gibibyte": no(block(type=b"L", magic=GNU, size=octal(1 << 30)) + bytes(5000), "more than"),
    "half-a-block": no(member()[:300], "short"),
    "text": no(b"this is no archive, but a text that is long enough to fill a whole block. " * 10, "checksum"),
}

if __name__ == "__main__":
    for name, (data, _, _) in VECTORS.items():
        (pathlib.Path(sys.argv[1]) / name).write_bytes(data)
