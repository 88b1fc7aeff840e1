# SPDX-License-Identifier: GPL-3.0-or-later
"""What every system test shares: the binary, the rule about skipping, and cleaning up."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import lab  # noqa: E402  (needs the path above)


def pytest_addoption(parser):
    parser.addoption("--strict-environment", action="store_true",
                     help="a test that cannot run here fails instead of being skipped")


def pytest_configure(config):
    config.addinivalue_line("markers", "no_sanitizer: measures what a sanitizer changes")
    lab.STRICT = config.getoption("--strict-environment")


@pytest.fixture
def batten():
    """Path of the binary under test."""
    return lab.BATTEN


@pytest.fixture
def scratch(tmp_path):
    """An empty directory; also the runtime and state directory of what the test starts."""
    return tmp_path


@pytest.fixture
def spaces():
    """Makes network namespaces that end with the test, also when it fails."""
    with lab.Spaces() as s:
        yield s


@pytest.fixture
def host(spaces):
    """A container host made of namespaces, with nothing of ours on it."""
    import ecs_host
    return ecs_host.EcsHost(spaces)


@pytest.fixture
def make_guard(request, scratch):
    """make_guard(config, assume=..., ...): a guard on the test's host, ended with the test."""
    import guard
    made = []

    def make(config=None, space=None, **options):
        directory = scratch / f"guard{len(made)}"
        directory.mkdir()
        made.append(guard.Guard(space or request.getfixturevalue("host").host, directory, config, **options))
        return made[-1]
    yield make
    for g in made:
        g.close()


@pytest.fixture(scope="session")
def docker_host():
    """A real dockerd with views of its own; started once, for it takes seconds."""
    import docker_host as module
    with module.DockerHost() as host:
        yield host


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("system tests make namespaces: run them as root", returncode=3)
