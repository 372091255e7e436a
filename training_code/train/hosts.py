"""Several machines as one: torch's own distributed data parallel between SageMaker hosts.

Rank and world come from resourceconfig.json; the first host is where they meet. Each machine learns from its share of every
batch; gradients are averaged weighted by photos, so that two machines take the steps that one with the same batch would.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from datetime import timedelta

import torch
from torch import distributed, nn

from contract.failure import JobFailure

PORT = 7777
PATIENCE = timedelta(minutes=15)


class Hosts:
    """The group of machines of one job; of a single machine every method is free."""

    def __init__(self, hosts: tuple[str, ...], current: str, device: torch.device) -> None:
        self.rank, self.count, self.device = hosts.index(current), len(hosts), device
        if self.count == 1:
            return
        address, port = meeting_point(hosts)
        backend = "nccl" if device.type == "cuda" else "gloo"
        if backend == "gloo" and address == "127.0.0.1":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        try:
            distributed.init_process_group(
                backend, f"tcp://{address}:{port}", timeout=PATIENCE, rank=self.rank, world_size=self.count
            )
        except (RuntimeError, ValueError) as error:
            raise JobFailure(
                f"{current} could not meet the other machines at {address}:{port} ({error}). All hosts of the job must run "
                "and reach each other; with VpcConfig, its security group must allow traffic within itself."
            ) from None

    def share(self, batch: int) -> slice:
        """The part of a batch of this size that this machine sees."""
        return slice(batch * self.rank // self.count, batch * (self.rank + 1) // self.count)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def same_start(self, model: nn.Module) -> None:
        """The first machine's weights, everywhere."""
        if self.count > 1:
            for tensor in model.state_dict().values():
                distributed.broadcast(tensor, 0)

    def any(self, asked: bool) -> bool:
        """Whether any machine was asked to stop: they must leave at the same step."""
        if self.count == 1:
            return asked
        return bool(self.sum(torch.tensor([float(asked)], device=self.device)).item())

    def agree(self, choice: str, choices: tuple[str, ...]) -> str:
        """The first machine's choice, everywhere."""
        if self.count == 1:
            return choice
        number = torch.tensor([choices.index(choice)], device=self.device)
        distributed.broadcast(number, 0)
        return choices[int(number.item())]

    def spread(self, data: bytes) -> bytes:
        """The first machine's bytes, everywhere."""
        length = torch.tensor([len(data)], dtype=torch.int64, device=self.device)
        distributed.broadcast(length, 0)
        size = int(length.item())
        held = torch.frombuffer(bytearray(data if self.rank == 0 else bytes(size)) or bytearray(1), dtype=torch.uint8)
        on_device = held.to(self.device)
        distributed.broadcast(on_device, 0)
        return on_device.cpu().numpy().tobytes()[:size]

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model whose gradients are the mean over all machines; of a single machine the model itself."""
        if self.count == 1 or not any(p.requires_grad for p in model.parameters()):
            return model
        if self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return nn.parallel.DistributedDataParallel(model)

    def leave(self) -> None:
        if self.count > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def meeting_point(hosts: Iterable[str]) -> tuple[str, int]:
    """Address and port of the first host; where its name means nothing (one machine, no resolver) the loopback address."""
    first = next(iter(hosts))
    port = int(os.environ.get("MASTER_PORT", PORT))
    address = os.environ.get("MASTER_ADDR", "")
    if address:
        return address, port
    try:
        return socket.gethostbyname(first), port
    except OSError:
        return "127.0.0.1", port
