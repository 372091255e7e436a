"""`docker push` into the local ECR: the image is registered through the ECR API, as every other client sees it.

Refuses any endpoint but loopback and any account but the local one: it can never reach a real registry.
"""

import hashlib
import json
from urllib.parse import urlsplit

from local_cloud.docker.dockerfile import BuildError
from local_cloud.docker.store import ImageStore, normalise
from local_cloud.environment import ACCOUNT_ID
from local_cloud.frameworks.catalogue import REGISTRY

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def push(store: ImageStore, uri: str, endpoint: str, command: str, docker_command: str) -> str:
    """Register the image tagged `uri` in the ECR at `endpoint`; returns its digest. Pushing it again is no error.

    `command` is what a person types to start the cloud (`up`) and to reach it (`env`), `docker_command` this command itself.
    """
    match = REGISTRY.fullmatch(normalise(uri))
    if not match or match["account"] != ACCOUNT_ID:
        raise BuildError(
            f"Cannot push {uri}: only the local registry is allowed, "
            f"{ACCOUNT_ID}.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG. "
            f"What to do: tag it so; or let it stand for that name: {docker_command} alias '{uri}' IMAGE; or use the real docker "
            "command for a real registry."
        )
    if urlsplit(endpoint).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise BuildError(
            f"Cannot push {uri}: AWS_ENDPOINT_URL is {endpoint or 'not set'}, which is not the local cloud. "
            f'What to do: eval "$({command} env)".'
        )
    try:
        image = store.find(uri)
    except KeyError:
        raise BuildError(f"There is no image tagged {uri}. What to do: build it with --tag {uri}, or tag it.") from None
    document = manifest(image.id, image.rootfs.name, json.dumps(image.config.__dict__, sort_keys=True))
    digest = f"sha256:{hashlib.sha256(document.encode()).hexdigest()}"
    _put(match["repository"] + match["version"], match["region"], document, digest, command)
    store.published(uri, digest)
    return digest


def manifest(identity: str, rootfs: str, config: str) -> str:
    """A Docker image manifest that stands for the environment and the files of an image."""
    described = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": len(config),
            "digest": identity,
        },
        "layers": [
            {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 0, "digest": f"sha256:{rootfs}"}
        ],
    }
    return json.dumps(described, sort_keys=True)


def _put(repository: str, region: str, document: str, digest: str, command: str) -> None:
    import boto3  # half a second: only a push needs it
    from botocore.exceptions import BotoCoreError, ClientError

    name, _, tag = repository.rpartition(":")
    try:
        boto3.client("ecr", region_name=region).put_image(
            registryId=ACCOUNT_ID, repositoryName=name, imageManifest=document, imageManifestMediaType=MANIFEST_TYPE,
            imageTag=tag, imageDigest=digest,
        )  # fmt: skip
    except ClientError as error:
        if error.response["Error"]["Code"] != "ImageAlreadyExistsException":
            advice = "create it with `aws ecr create-repository`" if "NotFound" in str(error) else "see the message"
            raise BuildError(f"ECR refused {repository}: {error}. What to do: {advice}.") from None
    except BotoCoreError as error:
        raise BuildError(
            f'The local cloud did not answer: {error}. What to do: {command} up, and eval "$({command} env)".'
        ) from None
