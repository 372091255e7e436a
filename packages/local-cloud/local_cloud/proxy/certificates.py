"""The cloud's own certificate authority: made at the first start, valid for AWS's hosts only, its key readable by the user only.

It never becomes part of the machine's trusted certificates: a shell trusts it by AWS_CA_BUNDLE, as long as it lives. A name
constraint keeps even a stolen key from speaking for anybody but AWS's hosts.
"""

from __future__ import annotations

import ssl
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "local-cloud: AWS's hosts on this machine"
YEARS = timedelta(days=3650)
# Clients refuse leaves that are valid for longer.
LEAF = timedelta(days=390)
DOMAINS = ("amazonaws.com", "amazonaws.com.cn", "api.aws", "api.amazonwebservices.com.cn")
CERTIFICATE, KEY = "certificate.pem", "key.pem"


class CertificateAuthority:
    """Kept in `folder`; `context` gives what a TLS server needs for one host."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        if not self._usable():
            self._make()
        self._key = serialization.load_pem_private_key((folder / KEY).read_bytes(), None)
        self._own = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())

    def context(self, host: str) -> ssl.SSLContext:
        """A server's context with a certificate for `host`, made once in this process."""
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = self._for(host)
            return self._contexts[host]

    def _usable(self) -> bool:
        try:
            own = x509.load_pem_x509_certificate((self._folder / CERTIFICATE).read_bytes())
            key = serialization.load_pem_private_key((self._folder / KEY).read_bytes(), None)
        except (OSError, ValueError):
            return False
        fits = key.public_key() == own.public_key()
        return fits and own.not_valid_after_utc > datetime.now(UTC) + timedelta(days=30)

    def _make(self) -> None:
        key, name = ec.generate_private_key(ec.SECP256R1()), _named(NAME)
        domains = [x509.DNSName(domain) for domain in DOMAINS]
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = (
            _begun(name, name, key.public_key(), YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.NameConstraints(domains, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(self._folder / KEY, _pem(key))
        _write(self._folder / CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))

    def _for(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._own.public_key())  # type: ignore[arg-type]
        leaf = (
            _begun(_named(host[:64]), self._own.subject, key.public_key(), LEAF)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())  # type: ignore[arg-type]
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        with tempfile.NamedTemporaryFile(
            dir=self._folder
        ) as both:  # ssl takes files only; this one is the user's alone
            both.write(_pem(key) + leaf.public_bytes(serialization.Encoding.PEM))
            both.flush()
            context.load_cert_chain(both.name)
        return context


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    built = built.serial_number(x509.random_serial_number())
    return built.not_valid_before(now - timedelta(days=1)).not_valid_after(now + valid)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as new:  # mode 0600
        new.write(content)
        new.flush()
    Path(new.name).replace(path)
