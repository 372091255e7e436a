"""Input channels of a training job: which objects each host gets, and how they get into its folder.

File copies; FastFile links the stored objects into a folder that is mounted read-only: thousands of photos cost no copy.
Without mount namespaces it copies, too: a job that wrote into a link would change the bucket.
Refuses Pipe mode and file systems by name: they need kernel or network parts that a process on one machine lacks.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_cloud.access.authority import become, current
from local_cloud.objects import Objects
from local_cloud.sagemaker.cluster import Host
from local_cloud.sagemaker.s3_locations import Source, sources_of
from local_cloud.sagemaker.store import Document
from local_cloud.sagemaker.support import invalid, refuse_unsupported

MODES = ("File", "FastFile")
_COPIERS = 4


def check_channels(channels: list[Document], default_mode: str, objects: Objects) -> None:
    """Refuses what cannot be delivered, and data sources with no objects, as CreateTrainingJob does."""
    names = [channel["ChannelName"] for channel in channels]
    for name in {name for name in names if names.count(name) > 1}:
        raise invalid(f"InputDataConfig names the channel {name!r} more than once; channel names must be unique.")
    for channel in channels:
        where = f"the channel {channel['ChannelName']!r}"
        _check_mode(channel.get("InputMode", default_mode), where)
        refuse_unsupported(where, channel["DataSource"], ("S3DataSource",))
        if "S3DataSource" not in channel["DataSource"]:
            raise invalid(f"The DataSource of {where} is empty: an S3DataSource is needed.")
        source = channel["DataSource"]["S3DataSource"]
        refuse_unsupported(where, source, ("S3DataType", "S3Uri", "S3DataDistributionType", "InstanceGroupNames"))
        for field in ("CompressionType", "RecordWrapperType"):
            if channel.get(field, "None") != "None":
                raise invalid(
                    f"{field} {channel[field]!r} of {where} needs Pipe mode, which the local cloud does not "
                    "support. Use None."
                )
        sources_of(objects, source["S3DataType"], source["S3Uri"])


def _check_mode(mode: str, where: str) -> None:
    if mode not in MODES:
        raise invalid(
            f"The local cloud does not support the input mode {mode} of {where}: it supports {' and '.join(MODES)}."
        )


def deliver(
    channels: list[Document],
    default_mode: str,
    objects: Objects,
    host: Host,
    hosts: list[Host],
    base: Path,
    confined: bool,
) -> None:
    """Puts every channel of one host below input/data/<channel>."""
    for channel in channels:
        source = channel["DataSource"]["S3DataSource"]
        groups = source.get("InstanceGroupNames")
        if groups and host.group not in groups:
            continue
        members = [member for member in hosts if not groups or member.group in groups]
        found = sources_of(objects, source["S3DataType"], source["S3Uri"])
        mine = shard(found, source.get("S3DataDistributionType", "FullyReplicated"), host, members)
        place(
            mine,
            base / "input" / "data" / channel["ChannelName"],
            objects,
            linked=is_linked(channel, default_mode, confined),
        )


def is_linked(channel: Document, default_mode: str, confined: bool) -> bool:
    """Whether a channel's files are the stored objects themselves: only where a mount can make them read-only."""
    return channel.get("InputMode", default_mode) == "FastFile" and confined


def shard(sources: list[Source], distribution: str, host: Host, hosts: list[Host]) -> list[Source]:
    """The sources of one host: all of them, or every n-th."""
    if distribution != "ShardedByS3Key":
        return sources
    return sources[hosts.index(host) :: len(hosts)]


def place(sources: Iterable[Source], folder: Path, objects: Objects, *, linked: bool) -> None:
    """Brings objects into a folder, as copies or as read-only links."""
    folder.mkdir(parents=True, exist_ok=True)

    def bring(source: Source) -> None:
        target = folder / source.path
        if linked:
            objects.link(source.bucket, source.key, target)
        else:
            objects.fetch(source.bucket, source.key, target)

    listed = list(sources)
    if linked or len(listed) < _COPIERS:
        for source in listed:
            bring(source)
        return
    with ThreadPoolExecutor(_COPIERS, initializer=become, initargs=(current(),)) as pool:
        list(pool.map(bring, listed))


def input_data_config(channels: list[Document], default_mode: str) -> Document:
    """What /opt/ml/input/config/inputdataconfig.json says."""
    return {
        channel["ChannelName"]: {
            **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
            "TrainingInputMode": channel.get("InputMode", default_mode),
            "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                "S3DataDistributionType", "FullyReplicated"
            ),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        for channel in channels
    }
