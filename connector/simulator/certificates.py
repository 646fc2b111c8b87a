"""A throw-away certificate authority and a server certificate for loopback, for `securescore simulate --tls`.

Not for production: the keys lie in a folder, readable by their owner only. The package cryptography comes with msal.
"""

import ipaddress
import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from connector.durable import replacing

LIFETIME = timedelta(days=30)


def server_context(folder: Path, now: datetime) -> tuple[ssl.SSLContext, Path]:
    """Write ca.pem, server.pem and server.key into a folder; returns the server's TLS context and the path of ca.pem.

    Valid for LIFETIME from `now`, for localhost and 127.0.0.1. Raises OSError when the folder cannot be written.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Simulated Graph authority", authority_key, None, now)
    key = ec.generate_private_key(ec.SECP256R1())
    server = _certificate("localhost", key, (authority, authority_key), now)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    folder.mkdir(parents=True, exist_ok=True)
    ca_file = folder / "ca.pem"
    for path, certificate in ((ca_file, authority), (folder / "server.pem", server)):
        with replacing(path, 0o644) as file:
            file.write(certificate.public_bytes(serialization.Encoding.PEM))
    write_private(folder / "server.key", secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context, ca_file


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whatever the umask and whatever was there."""
    with replacing(path) as file:
        file.write(content)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    now: datetime,
) -> x509.Certificate:
    """A self-signed authority (issuer None), or a server certificate signed by the issuer."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer[1] if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if issuer:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    else:
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(signer, hashes.SHA256())
