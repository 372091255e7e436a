"""Darkroom on macOS, as far as can be shown without one: nothing calls what only Linux has, and what is pinned has wheels for Arm."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract import machine

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    "contract",
    "darkroom",
    "infra",
    "training_code",
    "inference_code",
    "analysis_code",
    "packages/local-cloud/local_cloud",
)
# "Availability" in Python's documentation of these modules names no macOS.
ONLY_ON_LINUX = {
    "os": {
        "posix_fallocate", "posix_fadvise", "sched_getaffinity", "sched_setaffinity", "sched_setscheduler", "pidfd_open", "copy_file_range",
        "splice", "memfd_create", "eventfd", "setns", "unshare", "getrandom", "pipe2", "fdatasync", "O_DIRECT", "O_TMPFILE", "O_PATH",
        "setresuid", "getresuid", "setresgid", "setxattr", "getxattr", "listxattr",
    },
    "socket": {"TCP_QUICKACK", "TCP_USER_TIMEOUT", "TCP_CORK", "SO_PEERCRED", "SOCK_CLOEXEC", "SOCK_NONBLOCK", "AF_NETLINK", "MSG_MORE",
               "MSG_NOSIGNAL"},
    "select": {"epoll"},
    "signal": {"pidfd_send_signal", "sigtimedwait", "sigwaitinfo"},
    "resource": {"prlimit", "RLIMIT_SIGPENDING"},
    "time": {"CLOCK_BOOTTIME"},
    "fcntl": {"F_OFD_SETLK", "F_SETPIPE_SZ", "F_ADD_SEALS"},
}  # fmt: skip
LINUX_ALONE = {"confine.py"}  # the launcher of jobs in namespaces, which namespaces.py starts on Linux only


def uses(tree: ast.AST) -> Iterator[tuple[str, str, int]]:
    """(module, name, line) of what only Linux has, where nothing around asks for it first."""
    for function in [
        tree,
        *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)),
    ]:
        inside = list(_own(function))
        asked = {node.args[1].value for node in inside if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                 and node.func.id == "hasattr" and isinstance(node.args[1], ast.Constant)}  # fmt: skip
        caught = any(
            isinstance(node, ast.ExceptHandler) and node.type and "AttributeError" in ast.unparse(node.type)
            for node in inside
        )
        for node in inside:
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name) or caught:
                continue
            if node.attr in ONLY_ON_LINUX.get(node.value.id, ()) and node.attr not in asked:
                yield node.value.id, node.attr, node.lineno


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions in it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child
            yield from _own(child)
        elif isinstance(child, ast.ClassDef):
            yield from _own(child)


def test_nothing_calls_what_only_linux_has_without_asking_for_it_first():
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py") if file.name not in LINUX_ALONE]
    assert len(files) > 200
    found = [f"{file.relative_to(ROOT)}:{line} {module}.{name}" for file in files
             for module, name, line in uses(ast.parse(file.read_text(encoding="utf-8")))]  # fmt: skip
    assert found == []


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("import os\ndef f():\n    os.posix_fallocate(1, 0, 1)", 1),
        ("import os\ndef f():\n    if hasattr(os, 'posix_fallocate'):\n        os.posix_fallocate(1, 0, 1)", 0),
        (
            "import os\ndef f():\n    try:\n        os.sched_getaffinity(0)\n    except (OSError, AttributeError):\n        pass",
            0,
        ),
        ("import socket\nX = socket.TCP_QUICKACK", 1),
    ],
)
def test_the_search_for_such_calls_sees_them(text, seen):
    assert len(list(uses(ast.parse(text)))) == seen


def test_what_needs_a_gpu_of_nvidia_is_pinned_for_linux_only():
    """PyPI has no wheels of CUDA and Triton for macOS: without a marker nothing could be installed there."""
    lines = (ROOT / "training_code/requirements-torch.txt").read_text().splitlines()
    pinned = [line for line in lines if re.match(r"(nvidia-(?!ml-py)|cuda-|triton==)", line)]
    assert len(pinned) > 10
    assert [line for line in pinned if "sys_platform == 'linux'" not in line] == []


def test_a_file_is_reserved_without_linux_and_keeps_what_stands_before(tmp_path, monkeypatch):
    monkeypatch.delattr(machine.os, "posix_fallocate")
    array = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (3, 5))
    machine.reserve(tmp_path / "a.npy", array.offset)
    array[1] = 7
    array.flush()
    assert (tmp_path / "a.npy").stat().st_blocks > 0
    assert np.load(tmp_path / "a.npy").tolist() == [[0] * 5, [7] * 5, [0] * 5]


def test_cores_are_counted_without_linux(monkeypatch):
    monkeypatch.delattr(machine.os, "sched_getaffinity")
    assert machine.usable_cores() >= 1
