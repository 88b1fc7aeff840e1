# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tools of this world write around layers, odd things of single versions included, and what must go with a change."""
import base64
import json
import subprocess

import images
import lab
import pytest

BITS = images.layer({"bin/su": (0o4755, b"x" * 3000), "etc/motd": (0o644, b"hello")})
CLEAN = images.layer({"opt/file": (0o644, b"y" * 700)})
MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json"


class Layout:
    """Blobs by digest, and what stands beside them."""

    def __init__(self):
        self.files = {}

    def blob(self, data):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.files[f"blobs/sha256/{images.sha(data)}"] = data
        return data

    def image(self, layers, how="gzip", config=None, manifest=None, layer=None):
        """A manifest, its bytes."""
        packed = [self.blob(images.pack(l, how)) for l in layers]
        c = self.blob(images.config([images.sha(l) for l in layers], **(config or {})))
        self.config = c
        self.packed = packed
        return self.blob({"schemaVersion": 2, "mediaType": images.OCI_MANIFEST, "config": images.descriptor(c, images.OCI_CONFIG),
                          "layers": [images.descriptor(p, images.LAYER_TYPES[how], **(layer or {})) for p in packed], **(manifest or {})})

    def write(self, path, manifests, docker=None):
        self.files["index.json"] = json.dumps({"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": manifests}).encode()
        if docker is not None:
            self.files["manifest.json"] = json.dumps(docker).encode() + b"\n"
        self.files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
        return images.write_tar(path, dict(sorted(self.files.items())))


def strip(source, out, *options, rc=0):
    p = subprocess.run([lab.BATTEN, "image", "strip", *options, source, out], capture_output=True, text=True)
    assert p.returncode == rc, p.stderr
    if rc == 0:
        assert all(not images.marked(l) for _, layers in images.images(out) for l in layers if l)
    return p.stderr


def parts(path):
    """index.json, the first manifest and its configuration."""
    files = images.read(path)
    index = json.loads(files["index.json"])
    manifest = json.loads(files["blobs/sha256/" + index["manifests"][0]["digest"][7:]])
    return index, manifest, json.loads(files["blobs/sha256/" + manifest["config"]["digest"][7:]])


def docker_json(layout, tags=("demo:1",)):
    return [{"Config": "blobs/sha256/" + images.sha(layout.config), "RepoTags": list(tags) or None,
             "Layers": ["blobs/sha256/" + images.sha(p) for p in layout.packed]}]


def with_data(manifest, **more):
    """A descriptor that holds what it describes."""
    return {**images.descriptor(manifest, images.OCI_MANIFEST, **more), "data": base64.b64encode(manifest).decode()}


def test_docker_29(scratch):
    """The original compressed blobs, a nested index, a platform that is not there, an attestation, names in both descriptions."""
    l = Layout()
    m = l.image([BITS, CLEAN])
    docker = docker_json(l)
    statement = l.blob({"subject": [{"digest": {"sha256": images.sha(m)}}]})
    ac = l.blob(images.config([images.sha(statement)], history=False))
    a = l.blob({"schemaVersion": 2, "mediaType": images.OCI_MANIFEST, "config": images.descriptor(ac, images.OCI_CONFIG),
                "layers": [images.descriptor(statement, "application/vnd.in-toto+json")], "subject": images.descriptor(m, images.OCI_MANIFEST)})
    inner = l.blob({"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": [
        images.descriptor(m, images.OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"}),
        images.descriptor(b"not here", images.OCI_MANIFEST, platform={"os": "linux", "architecture": "arm64"}),
        images.descriptor(a, images.OCI_MANIFEST, platform={"os": "unknown", "architecture": "unknown"},
                          annotations={"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": "sha256:" + images.sha(m)})]})
    top = images.descriptor(inner, images.OCI_INDEX, annotations={"io.containerd.image.name": "docker.io/library/demo:1",
                                                                   "org.opencontainers.image.ref.name": "1"})
    source = l.write(scratch / "in.tar", [top], docker)
    # The reading of tests wants every platform; the one that is missing is none of ours.
    p = subprocess.run([lab.BATTEN, "image", "strip", source, scratch / "out.tar"], capture_output=True, text=True)
    assert p.returncode == 0 and "not in the image" in p.stderr and "left out" in p.stderr, p.stderr
    files = images.read(scratch / "out.tar")
    outer = json.loads(files["index.json"])["manifests"]
    assert outer[0]["annotations"]["io.containerd.image.name"] == "docker.io/library/demo:1"
    data = files["blobs/sha256/" + outer[0]["digest"][7:]]
    assert images.sha(data) == outer[0]["digest"][7:] and len(data) == outer[0]["size"]
    here, missing = json.loads(data)["manifests"]
    assert missing["digest"] == "sha256:" + images.sha(b"not here")
    manifest = json.loads(files["blobs/sha256/" + here["digest"][7:]])
    image = json.loads(files["manifest.json"])[0]
    assert image["Layers"] == ["blobs/sha256/" + d["digest"][7:] for d in manifest["layers"]] and image["Config"][-64:] == manifest["config"]["digest"][7:]
    assert [images.marked(images.unpack(files[n])) for n in image["Layers"]] == [{}, {}]
    assert image["Layers"][1] == "blobs/sha256/" + images.sha(l.packed[1])


def test_docker_25_without_a_name(scratch):
    """25.0.0 to 25.0.2 wrote null for the manifests of an image that was saved by its id."""
    l = Layout()
    l.image([BITS], "tar")
    source = l.write(scratch / "in.tar", None, docker_json(l, ()))
    strip(source, scratch / "out.tar")
    assert json.loads(images.read(scratch / "out.tar")["index.json"])["manifests"] is None


def test_docker_25_in_a_wrong_order(scratch):
    """25.0.0 wrote the manifest's layers in another order than the diff_ids; manifest.json had them right."""
    l = Layout()
    m = json.loads(l.image([BITS, CLEAN], "tar"))
    docker = docker_json(l)
    m["layers"].reverse()
    wrong = l.blob(m)
    source = l.write(scratch / "in.tar", [images.descriptor(wrong, images.OCI_MANIFEST)], docker)
    p = subprocess.run([lab.BATTEN, "image", "strip", source, scratch / "out.tar"], capture_output=True, text=True)
    assert p.returncode == 0 and "another order" in p.stderr, p.stderr
    files = images.read(scratch / "out.tar")
    assert [images.marked(files[n]) for n in json.loads(files["manifest.json"])[0]["Layers"]] == [{}, {}]
    # Alone it is a lie.
    del l.files["manifest.json"]
    assert "diff_ids" in strip(l.write(scratch / "alone.tar", [images.descriptor(wrong, images.OCI_MANIFEST)]), scratch / "o", rc=2)


def test_what_a_change_makes_untrue_goes(scratch):
    """The copy of a blob in its descriptor, the build cache, the promise of a base; what stays true stays."""
    l = Layout()
    labels = {"org.opencontainers.image.base.name": "debian:12", "org.opencontainers.image.base.digest": "sha256:" + "1" * 64, "mine": "stays"}
    m = l.image([BITS, CLEAN], config={"moby.buildkit.cache.v0": "eyJ9", "config": {"Labels": labels}},
                layer={"annotations": {"buildkit/rewritten-timestamp": "1"}})
    d = with_data(m, platform={"os": "linux", "architecture": "amd64"})
    strip(l.write(scratch / "in.tar", [d]), scratch / "out.tar")
    index, manifest, config = parts(scratch / "out.tar")
    assert "data" not in index["manifests"][0] and index["manifests"][0]["platform"] == d["platform"]
    assert "moby.buildkit.cache.v0" not in config and config["config"]["Labels"] == {"mine": "stays"}
    assert manifest["layers"][0]["annotations"] == {"buildkit/rewritten-timestamp": "1"}
    # Nothing to strip: nothing goes.
    l = Layout()
    m = l.image([CLEAN], config={"moby.buildkit.cache.v0": "eyJ9"})
    source = l.write(scratch / "in.tar", [with_data(m)])
    strip(source, scratch / "out.tar")
    assert (scratch / "out.tar").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("kind", ["tag", "annotation", "subject"])
def test_signatures_of_what_changed(scratch, kind):
    l = Layout()
    m = l.image([BITS])
    other = l.image([CLEAN])
    payload = l.blob({"critical": {"image": {"docker-manifest-digest": "sha256:" + images.sha(m)}}})

    def signature(of):
        s = {"schemaVersion": 2, "mediaType": images.OCI_MANIFEST,
             "config": images.descriptor(l.blob({"of": images.sha(of)}), "application/vnd.dev.cosign.artifact.sig.v1+json"),
             "layers": [images.descriptor(payload, "application/vnd.dev.cosign.simplesigning.v1+json")]}
        if kind == "subject":
            s["subject"] = images.descriptor(of, images.OCI_MANIFEST)
        name = f"sha256-{images.sha(of)}.sig" if kind == "tag" else "sig-" + images.sha(of)[:8]
        more = {"vnd.docker.reference.digest": "sha256:" + images.sha(of)} if kind == "annotation" else {}
        return images.descriptor(l.blob(s), images.OCI_MANIFEST, annotations={"org.opencontainers.image.ref.name": name, **more})
    elements = [images.descriptor(m, images.OCI_MANIFEST, annotations={"org.opencontainers.image.ref.name": "one"}),
                images.descriptor(other, images.OCI_MANIFEST, annotations={"org.opencontainers.image.ref.name": "two"}), signature(m), signature(other)]
    source = l.write(scratch / "in.tar", elements)
    for options, left in (((), 3), (("--keep-attestations",), 4)):
        p = subprocess.run([lab.BATTEN, "image", "strip", *options, source, scratch / "out.tar"], capture_output=True, text=True)
        assert p.returncode == 0 and p.stderr.count("speaks of an image that has changed") == 1, p.stderr
        index = json.loads(images.read(scratch / "out.tar")["index.json"])["manifests"]
        assert len(index) == left and index[1]["digest"] == "sha256:" + images.sha(other) and elements[3] in index


def test_layers_that_are_not_ours(scratch):
    """Foreign and unknown ones are left alone with a line; an empty file is a layer without members."""
    for kind in ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                 "application/vnd.erofs.layer.v1"):
        l = Layout()
        m = json.loads(l.image([BITS, CLEAN]))
        m["layers"][0]["mediaType"] = kind
        source = l.write(scratch / "in.tar", [images.descriptor(l.blob(m), images.OCI_MANIFEST)])
        p = subprocess.run([lab.BATTEN, "image", "strip", source, scratch / "out.tar"], capture_output=True, text=True)
        assert p.returncode == 0 and kind in p.stderr and "left alone" in p.stderr
        assert (scratch / "out.tar").read_bytes() == source.read_bytes()
    l = Layout()
    source = l.write(scratch / "in.tar", [images.descriptor(l.image([BITS, b"", bytes(1024)], "tar"), MANIFESTS)])
    strip(source, scratch / "out.tar")
