"""What PyTorch leaves undone on a CPU: depthwise convolutions whose gradients are fast, and memory that is kept.

Both change the time of a step and nothing else: gradients agree with PyTorch's own to the rounding of the arithmetic in use.
Measured with EfficientNet-Lite0, 2 cores with AMX: docs/benchmarks.md.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# Columns of a depthwise kernel whose weight gradient oneDNN computes fast; wider ones run its reference loops.
WIDEST = 3
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h

X86 = platform.machine() in ("x86_64", "AMD64")

Pair = tuple[int, int]


def keep_memory() -> None:
    """Let glibc keep what is freed. Otherwise each large tensor comes from the kernel anew in every step, page by page, zeroed:
    nearly half of a step. https://man7.org/linux/man-pages/man3/mallopt.3.html"""
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)  # never
    mallopt(M_TOP_PAD, 64 * 2**20)


class FastDepthwise(TorchFunctionMode):
    """While it is entered, depthwise `conv2d` calls of any architecture get the gradients below; everything else passes.

    oneDNN on x86 computes weight gradients of kernels wider than 3, and input gradients at stride 2, in reference loops: 5 to 80
    times slower than its other kernels, in bfloat16 most of all.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d and not kwargs:
            found = _depthwise(*args)
            if found is not None:
                return found
        return func(*args, **(kwargs or {}))


def _depthwise(
    photo: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> torch.Tensor | None:  # fmt: skip
    """The convolution, or None where PyTorch's own is as good."""
    mine = (
        X86
        and groups == weight.shape[0] == photo.shape[-3] > 1
        and photo.ndim == 4
        and photo.device.type == "cpu"
        and photo.is_floating_point()
        and not isinstance(padding, str)
        and _pair(dilation) == (1, 1)
        and torch.is_grad_enabled()
        and (photo.requires_grad or weight.requires_grad)
    )
    if not mine:
        return None
    if torch.is_autocast_enabled("cpu"):
        kind = torch.get_autocast_dtype("cpu")
        photo, weight = photo.to(kind), weight.to(kind)
        bias = None if bias is None else bias.to(kind)
    return _Depthwise.apply(photo, weight, bias, _pair(stride), _pair(padding))


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, photo: torch.Tensor, weight: torch.Tensor, bias: Any, stride: Pair, padding: Pair) -> Any:
        ctx.save_for_backward(photo, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.conv2d(photo, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # type: ignore[override]
        photo, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        wanted = ctx.needs_input_grad
        return (
            _input_gradient(gradient, weight, photo.shape, ctx.stride, ctx.padding) if wanted[0] else None,
            _weight_gradient(gradient, photo, weight, ctx.stride, ctx.padding) if wanted[1] else None,
            gradient.sum((0, 2, 3)) if wanted[2] else None,
            None,
            None,
        )


def _input_gradient(
    gradient: torch.Tensor, weight: torch.Tensor, shape: torch.Size, stride: Pair, padding: Pair
) -> torch.Tensor:
    """Forward convolutions of the gradient, one for each place within a stride, with the taps that fall on this place."""
    if stride == (1, 1) and all(2 * pad == side - 1 for pad, side in zip(padding, weight.shape[2:], strict=True)):
        return torch.conv2d(gradient, weight.flip(2, 3), None, 1, padding, groups=len(weight))
    found = torch.empty(shape, dtype=gradient.dtype, memory_format=torch.channels_last)
    for row in range(min(stride[0], shape[2])):
        for column in range(min(stride[1], shape[3])):
            # Of the input at stride * i + row, tap k sees the output i + (row + padding - k) / stride.
            taps = tuple((place + pad) % step for place, pad, step in zip((row, column), padding, stride, strict=True))
            part = weight[:, :, taps[0] :: stride[0], taps[1] :: stride[1]]
            target = found[:, :, row :: stride[0], column :: stride[1]]
            if not part.numel():
                target.zero_()
                continue
            first = [(place + pad) // step for place, pad, step in zip((row, column), padding, stride, strict=True)]
            full = (part.shape[2] - 1, part.shape[3] - 1)
            seen = torch.conv2d(gradient, part.flip(2, 3), None, 1, full, groups=len(weight))
            seen = seen[:, :, first[0] :, first[1] :]
            height, width = min(seen.shape[2], target.shape[2]), min(seen.shape[3], target.shape[3])
            target[:, :, :height, :width] = seen[:, :, :height, :width]
            target[:, :, height:] = 0  # what no output saw
            target[:, :, :height, width:] = 0
    return found


def _weight_gradient(
    gradient: torch.Tensor, photo: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair
) -> torch.Tensor:
    """Strips of at most `WIDEST` columns of the kernel, each as the gradient of a convolution of its own."""
    width, channels = weight.shape[3], len(weight)

    def of(seen: torch.Tensor, taps: torch.Tensor, pad: Pair) -> torch.Tensor:
        return torch.ops.aten.convolution_backward(
            gradient, seen, taps, None, stride, pad, (1, 1), False, (0, 0), channels, (False, True, False)
        )[1]

    if width <= WIDEST:
        return of(photo, weight, padding)
    found = torch.empty_like(weight)
    side = (gradient.shape[3] - 1) * stride[1] + WIDEST  # columns that a strip sees
    for begin in (*range(0, width - WIDEST, WIDEST), width - WIDEST):
        # Column j of what a strip sees is column j + begin - padding of the photo, zero outside of it.
        left = max(0, padding[1] - begin)
        right = min(side, photo.shape[3] + padding[1] - begin)
        seen = torch.empty((*photo.shape[:3], side), dtype=photo.dtype, memory_format=torch.channels_last)
        seen[:, :, :, :left] = 0
        seen[:, :, :, right:] = 0
        seen[:, :, :, left:right] = photo[:, :, :, left + begin - padding[1] : right + begin - padding[1]]
        strip = weight[:, :, :, begin : begin + WIDEST].contiguous()
        found[:, :, :, begin : begin + WIDEST] = of(seen, strip, (padding[0], 0))
    return found
