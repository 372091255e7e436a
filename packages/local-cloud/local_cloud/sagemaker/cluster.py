"""The hosts of a training or processing job: algo-1 … algo-N, each a process group with an /opt/ml tree of its own.

`resourceconfig.json` has AWS's shape. All hosts are this machine: the network interface is `lo`, and where
containers are confined every one of a cluster sees an /etc/hosts in which the names algo-N are 127.0.0.N.
Elsewhere the names do not resolve and a job falls back to 127.0.0.1 itself.
"""

from dataclasses import dataclass
from pathlib import Path

from local_cloud.sagemaker.store import Document

HOMOGENEOUS = "homogeneousCluster"


@dataclass(frozen=True)
class Host:
    """One member of a cluster; `index` counts from 0."""

    index: int
    group: str
    instance_type: str

    @property
    def name(self) -> str:
        return f"algo-{self.index + 1}"

    def base(self, folder: Path) -> Path:
        """Its /opt/ml tree."""
        return folder / "ml" if self.index == 0 else folder / self.name / "ml"


def hosts_of(resources: Document) -> list[Host]:
    """The hosts that a ResourceConfig or ClusterConfig asks for."""
    groups = resources.get("InstanceGroups") or [
        {
            "InstanceGroupName": HOMOGENEOUS,
            "InstanceType": resources["InstanceType"],
            "InstanceCount": resources.get("InstanceCount", 1),
        }
    ]
    kinds = [(g["InstanceGroupName"], g["InstanceType"]) for g in groups for _ in range(g["InstanceCount"])]
    return [Host(index, group, instance_type) for index, (group, instance_type) in enumerate(kinds)]


def resource_config(host: Host, hosts: list[Host]) -> Document:
    """What /opt/ml/input/config/resourceconfig.json says to one host."""
    names: dict[str, list[Host]] = {}
    for member in hosts:
        names.setdefault(member.group, []).append(member)
    return {
        "current_host": host.name,
        "current_instance_type": host.instance_type,
        "current_group_name": host.group,
        "hosts": [member.name for member in hosts],
        "instance_groups": [
            {
                "instance_group_name": group,
                "instance_type": members[0].instance_type,
                "hosts": [member.name for member in members],
            }
            for group, members in names.items()
        ],
        "network_interface_name": "lo",
    }


def hosts_file(hosts: list[Host], path: Path) -> Path:
    """An /etc/hosts for the containers of a cluster: this machine's own, and the names of the hosts."""
    own = Path("/etc/hosts").read_text() if Path("/etc/hosts").exists() else "127.0.0.1 localhost\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(own + "".join(f"127.0.0.{host.index + 1} {host.name}\n" for host in hosts))
    return path
