# SPDX-License-Identifier: GPL-3.0-or-later
"""Images by script, in the layouts that the tools of this world write, and a naive reading of them."""
import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import tarfile

CAPS = bytes([1, 0, 0, 2, 0, 0x20, 0, 0] + [0] * 12)  # cap_net_raw, permitted and effective
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
LAYER_TYPES = {"tar": "application/vnd.oci.image.layer.v1.tar", "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
               "zstd": "application/vnd.oci.image.layer.v1.tar+zstd"}


def sha(data):
    return hashlib.sha256(data).hexdigest()


def layer(files, format=tarfile.PAX_FORMAT):
    """files: name -> (mode, content) or (mode, content, options); options: type, link, caps, headers."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, (mode, content, *more) in files.items():
            options = more[0] if more else {}
            info = tarfile.TarInfo(name)
            info.mode = mode
            info.size = len(content)
            info.type = options.get("type", tarfile.REGTYPE)
            info.linkname = options.get("link", "")
            info.pax_headers = dict(options.get("headers", {}))
            if options.get("caps"):
                info.pax_headers["SCHILY.xattr.security.capability"] = CAPS.decode("latin-1")
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def pack(data, how):
    if how == "tar":
        return data
    if how == "gzip":
        return gzip.compress(data, 6, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-3", "-c"], input=data, capture_output=True, check=True).stdout
    return subprocess.run(how, input=data, capture_output=True, check=True).stdout


def unpack(blob):
    if blob[:2] == b"\x1f\x8b":
        return gzip.decompress(blob)
    if blob[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-q", "-d", "-c"], input=blob, capture_output=True, check=True).stdout
    return blob


def config(diffs, history=True, **more):
    c = {"architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09Z",
         "config": {"Cmd": ["/bin/sh"], "Labels": {"keep": "me"}}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + d for d in diffs]},
         "variant": "v8", "unknown.field": [1, 2.50, {"a": None}]}
    if history:
        c["history"] = [{"created": "2024-05-06T07:08:09Z", "created_by": f"layer {n}"} for n in range(len(diffs))]
    c.update(more)
    return json.dumps(c, indent=1).encode()


def write_tar(path, files, links=(), end=True):
    """files: name -> bytes, in order; links: name -> target."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(data))
        for name, target in dict(links).items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.SYMTYPE
            info.linkname = target
            tar.addfile(info)
    return path


def docker_old(path, layers, tags=("demo:1",), **more):
    """docker save up to 24: a directory per layer, a repeated layer is a symbolic link."""
    files, links, names, seen = {}, {}, [], {}
    diffs = [sha(l) for l in layers]
    for n, data in enumerate(layers):
        v1 = sha(b"v1" + str(n).encode())
        files[f"{v1}/VERSION"] = b"1.0"
        files[f"{v1}/json"] = json.dumps({"id": v1}).encode()
        if diffs[n] in seen:
            links[f"{v1}/layer.tar"] = f"../{seen[diffs[n]]}/layer.tar"
        else:
            files[f"{v1}/layer.tar"] = data
            seen[diffs[n]] = v1
        names.append(f"{v1}/layer.tar")
    c = config(diffs, **more)
    files[f"{sha(c)}.json"] = c
    files["manifest.json"] = json.dumps([{"Config": f"{sha(c)}.json", "RepoTags": list(tags), "Layers": names}]).encode() + b"\n"
    if tags:
        repo, tag = tags[0].split(":")
        files["repositories"] = json.dumps({repo: {tag: v1}}).encode() + b"\n"
    return write_tar(path, files, links)


def descriptor(data, media_type, **more):
    return {"mediaType": media_type, "digest": "sha256:" + sha(data), "size": len(data), **more}


def oci_files(layers, how="gzip", ref="demo", attestation=False, nested=False, annotations=None, **more):
    """Every file of an OCI layout: name -> bytes."""
    blobs = {}

    def blob(data):
        blobs[f"blobs/sha256/{sha(data)}"] = data
        return data

    packed = [blob(pack(l, how)) for l in layers]
    c = blob(config([sha(l) for l in layers], **more))
    kind = LAYER_TYPES[how if isinstance(how, str) else "gzip"]
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(c, OCI_CONFIG),
                "layers": [descriptor(p, kind, annotations={"containerd.io/uncompressed": "sha256:" + sha(l),
                                                             "containerd.io/distribution.source.docker.io": "library/demo",
                                                             "mine": "stays"})
                           for p, l in zip(packed, layers)],
                "annotations": {"org.opencontainers.image.base.digest": "sha256:" + "0" * 64, "own": "stays", **(annotations or {})}}
    m = blob(json.dumps(manifest, indent=2).encode())
    elements = [descriptor(m, OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"})]
    if attestation:
        statement = blob(json.dumps({"subject": [{"digest": {"sha256": sha(m)}}]}).encode())
        ac = blob(config([sha(statement)], history=False))
        am = blob(json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(ac, OCI_CONFIG),
                              "layers": [descriptor(statement, "application/vnd.in-toto+json")]}).encode())
        elements.append(descriptor(am, OCI_MANIFEST, platform={"os": "unknown", "architecture": "unknown"},
                                   annotations={"vnd.docker.reference.type": "attestation-manifest",
                                                "vnd.docker.reference.digest": "sha256:" + sha(m)}))
    if nested:
        inner = blob(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": elements}).encode())
        elements = [descriptor(inner, OCI_INDEX)]
    if ref:
        elements[0].setdefault("annotations", {})["org.opencontainers.image.ref.name"] = ref
    return {**dict(sorted(blobs.items())),
            "index.json": json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": elements}).encode(),
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}


def docker_25(path, layers, tags=("demo:1",), sources=True, **more):
    """docker save of 25 and later: blobs with both descriptions; layers as the graph drivers give them."""
    files = oci_files(layers, "tar", ref=None, **more)
    index = json.loads(files["index.json"])
    manifest = json.loads(files["blobs/sha256/" + index["manifests"][0]["digest"][7:]])
    diffs = [sha(l) for l in layers]
    image = {"Config": "blobs/sha256/" + manifest["config"]["digest"][7:], "RepoTags": list(tags) or None,
             "Layers": ["blobs/sha256/" + d for d in diffs]}
    if sources:
        image["LayerSources"] = {"sha256:" + d: {"mediaType": LAYER_TYPES["tar"], "size": len(l), "digest": "sha256:" + d}
                                 for d, l in zip(diffs, layers)}
    files["manifest.json"] = json.dumps([image]).encode() + b"\n"
    if tags:
        repo, tag = tags[0].split(":")
        files["repositories"] = json.dumps({repo: {tag: diffs[-1]}}).encode() + b"\n"
    return write_tar(path, files)


def kaniko(path, layers):
    packed = [pack(l, "gzip") for l in layers]
    c = config([sha(l) for l in layers])
    files = {"sha256:" + sha(c): c}
    files.update({f"{sha(p)}.tar.gz": p for p in packed})
    files["manifest.json"] = json.dumps([{"Config": "sha256:" + sha(c), "RepoTags": ["demo:1"],
                                          "Layers": [f"{sha(p)}.tar.gz" for p in packed]}]).encode()
    return write_tar(path, files)


def skopeo(path, layers):
    diffs = [sha(l) for l in layers]
    c = config(diffs)
    files = {f"{d}.tar": l for d, l in zip(diffs, layers)}
    files[f"{sha(c)}.json"] = c
    links = {f"{sha(d.encode())}/layer.tar": f"../{d}.tar" for d in diffs}
    files["manifest.json"] = json.dumps([{"Config": f"{sha(c)}.json", "RepoTags": ["demo:1"],
                                          "Layers": [f"{d}.tar" for d in diffs]}]).encode()
    return write_tar(path, files, links)


def write_dir(path, files):
    for name, data in files.items():
        f = pathlib.Path(path) / name
        f.parent.mkdir(parents=True, exist_ok=True)
        f.write_bytes(data)
    return path


def read(path):
    """name -> bytes (or a link's target as text) of an archive or a layout directory."""
    path = pathlib.Path(path)
    if path.is_dir():
        return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}
    out = {}
    with tarfile.open(path) as tar:
        for m in tar:
            assert m.name not in out, f"{m.name} twice"
            out[m.name] = m.linkname if m.issym() else tar.extractfile(m).read() if m.isfile() else None
    return out


def follow(files, name):
    data = files[name]
    if isinstance(data, str):
        parts = []
        for p in (pathlib.PurePosixPath(name).parent / data).parts:
            parts = parts[:-1] if p == ".." else parts + [p]
        return files["/".join(parts)]
    return data


def images(path):
    """Each image of both descriptions as (config, [plain layers]); every digest and size checked."""
    files = read(path)
    found = []

    def get(d):
        data = files["blobs/sha256/" + d["digest"][7:]]
        assert sha(data) == d["digest"][7:] and len(data) == d["size"], d
        return data

    def add(c, layers, source):
        c = json.loads(c)
        plain = [unpack(l) for l in layers]
        assert ["sha256:" + sha(p) for p in plain] == c["rootfs"]["diff_ids"], source
        if c.get("history"):
            assert len([h for h in c["history"] if not h.get("empty_layer")]) == len(plain)
        found.append((c, plain))

    def walk(index):
        for d in index["manifests"] or []:
            m = json.loads(get(d))
            if "manifests" in m:
                walk(m)
            elif (d.get("platform") or {}).get("os") != "unknown":
                add(get(m["config"]), [get(l) for l in m["layers"]], "index.json")
            else:
                [get(x) for x in [m["config"], *m["layers"]]]

    for image in json.loads(files.get("manifest.json", "[]")):
        c = follow(files, image["Config"])
        name = pathlib.PurePosixPath(image["Config"]).name.removesuffix(".json").removeprefix("sha256:")
        assert name == sha(c)
        add(c, [follow(files, l) for l in image["Layers"]], "manifest.json")
        for diff, source in (image.get("LayerSources") or {}).items():
            assert diff in found[-1][0]["rootfs"]["diff_ids"] and sha(get(source)) == source["digest"][7:]
    if "index.json" in files:
        walk(json.loads(files["index.json"]))
    return found


def marked(data):
    """What of a layer has what we look for: name -> (mode bits, capabilities)."""
    out = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for m in tar:
            caps = any(k.endswith("xattr.security.capability") for k in m.pax_headers)
            if m.mode & 0o6000 or caps:
                out[m.name] = (m.mode & 0o6000, caps)
    return out


def listing(data):
    """Everything but mode bits and capabilities."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(m.name, m.type, m.mode & ~0o6000, m.uid, m.gid, m.size, m.mtime, m.linkname,
                 {k: v for k, v in m.pax_headers.items() if "capability" not in k and k != "comment"},
                 tar.extractfile(m).read() if m.isreg() else b"") for m in tar]
