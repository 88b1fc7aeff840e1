# SPDX-License-Identifier: GPL-3.0-or-later
"""A moment of `make soak`, and proof that its instruments see what they are for."""
import pytest

import guard
import soak


def test_a_moment_of_everything(scratch):
    said = []
    assert not soak.run(scratch, 6, 1, said.append), said
    text = "\n".join(said)
    assert said[0] == "seed 1, 6 s" and "IMDS leaks: 0 of" in text and "findings lost: 0 of" in text
    assert "descriptors left open: 0" in text and "slope" in text


@pytest.mark.parametrize("spoil, seen", [
    (lambda s: setattr(s, "config_is_bad", False), "are too many"),
    (lambda s: s.host.guard.process.kill() or s.host.guard.process.wait(), "the daemon ended by itself with -9"),
], ids=["a-finding-nobody-expects", "a-daemon-that-dies"])
def test_what_is_wrong_is_seen(scratch, monkeypatch, spoil, seen):
    monkeypatch.setattr(soak, "WAIT", 3)
    check, done = soak.Soak.check, []

    def spoilt(self):
        if not done:
            done.append(spoil(self))
        check(self)
    monkeypatch.setattr(soak.Soak, "check", spoilt)
    monkeypatch.setattr(soak.Soak, "finish", lambda self: 0)
    said = []
    wrong = soak.run(scratch, 0, 1, said.append)
    assert any(seen in text for text in wrong), said


def test_a_leak_is_seen(scratch, monkeypatch):
    """The guard is taken away, and nobody puts it back."""
    def open_it(self):
        self.host.guard.kill()
        self.host.guard.manager.forget()
        self.host.space.run("nft", "flush", "ruleset", check=False)
        self.command("imds", "unblock")
        self.ecs.write_foreign_rules()
        soak.time.sleep(0.5)
        return 0
    monkeypatch.setattr(soak.Soak, "finish", open_it)
    monkeypatch.setattr(guard.Guard, "stop", lambda self: 0)
    said = []
    wrong = soak.run(scratch, 0, 1, said.append)
    assert any("reached 169.254.169.254" in text for text in wrong), said
