"""Depthwise gradients on a CPU are PyTorch's own, computed another way; memory that is freed stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from training_code.train.cpu import X86, FastDepthwise

pytestmark = pytest.mark.skipif(not X86, reason="other processors pass")

# channels, height, width, kernel, stride, padding
SHAPES = [
    (24, 7, 7, 5, 1, 2), (24, 14, 15, 5, 2, 2), (16, 15, 16, 7, 1, 3), (16, 15, 14, 7, 2, 0), (16, 13, 13, 5, 2, 1),
    (16, 12, 13, 3, 2, 1), (16, 13, 12, 3, 2, 0), (8, 13, 14, 3, 3, 0), (8, 14, 15, (3, 5), (2, 1), (1, 2)),
    (8, 14, 14, 4, 1, 0), (8, 14, 15, 4, 4, 0), (8, 9, 10, 1, 2, 0), (8, 9, 9, 3, 1, 2), (8, 9, 10, 2, 3, 0),
    (8, 6, 5, 11, 1, 5),
]  # fmt: skip


def gradients(module, photos, towards, fast):
    photos = photos.clone(memory_format=torch.channels_last).requires_grad_()
    if fast:
        with FastDepthwise():
            answer = module(photos)
    else:
        answer = module(photos)
    return answer, torch.autograd.grad(answer, (photos, *module.parameters()), towards)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("bias", (True, False))
def test_gradients_of_depthwise_convolutions_are_those_of_pytorch(shape, bias):
    channels, height, width, kernel, stride, padding = shape
    torch.manual_seed(0)
    module = nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=bias)
    module = module.to(memory_format=torch.channels_last)
    photos = torch.randn(4, channels, height, width)
    towards = torch.randn_like(module(photos))
    (plain, expected), (fast, found) = (gradients(module, photos, towards, way) for way in (False, True))
    assert "Depthwise" in type(fast.grad_fn).__name__ and (plain == fast).all()
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * one.abs().max().item())


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(8, 8, 5, padding=2),
        nn.Conv2d(8, 16, 5, padding=2, groups=8),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
        nn.Conv2d(8, 8, 3, padding="same", groups=8),
    ],
    ids=("dense", "two answers a channel", "dilated", "padded by name"),
)
def test_other_convolutions_pass(module):
    photos = torch.randn(2, 8, 9, 9)
    towards = torch.randn_like(module(photos))
    (_, expected), (fast, found) = (gradients(module, photos, towards, way) for way in (False, True))
    assert "Depthwise" not in type(fast.grad_fn).__name__
    assert all((one == other).all() for one, other in zip(expected, found, strict=True))


def test_nothing_is_kept_for_gradients_where_none_are_asked():
    module = nn.Conv2d(8, 8, 5, padding=2, groups=8)
    with torch.no_grad(), FastDepthwise():
        assert module(torch.randn(2, 8, 9, 9)).grad_fn is None
    with FastDepthwise():
        assert module.requires_grad_(False)(torch.randn(2, 8, 9, 9)).grad_fn is None


def test_under_autocast_it_computes_in_16_bits_and_gives_gradients_in_32():
    module = nn.Conv2d(16, 16, 5, 2, 2, groups=16)
    photos = torch.randn(4, 16, 14, 14)
    towards = torch.randn_like(module(photos))
    _, exact = gradients(module, photos, towards, False)
    with torch.autocast("cpu", torch.bfloat16):
        answer, found = gradients(module, photos, towards.bfloat16(), True)
    assert answer.dtype == torch.bfloat16
    for one, other in zip(exact, found, strict=True):
        assert other.dtype == torch.float32 and 0 < (one - other).abs().max() < 0.02 * one.abs().max()


FAULTS = """
import resource, sys, torch
from training_code.train.cpu import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
def step():
    held = [torch.full((16, 2**20), 1.0) for _ in range(4)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_memory_that_was_freed_is_not_asked_of_the_kernel_again():
    def faults(how):
        ran = subprocess.run(
            [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True, timeout=60
        )
        return int(ran.stdout)

    assert faults("keep") < 100 < 10_000 < faults("let go")
