"""Keys and tokens of an issuer (RFC 7515, 7517, 7518), one JSON request a line, answered by one line.

{"new": "RS256", "kid": "a"}                      a key: its public JWK, and its public key as PEM and DER (base64)
{"sign": "a", "header": "…", "payload": "…"}      the token of these texts, as they are, whatever the header says
{"hmac": "…", "header": "…", "payload": "…"}      the same with HS256 and a secret (base64)
"""

import base64
import hashlib
import hmac
import json
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

KEYS = {}


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length):
    return text(value.to_bytes(length, "big"))


def new(algorithm, kid):
    if algorithm == "RS256":
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key().public_numbers()
        jwk = {"kty": "RSA", "n": number(public.n, 256), "e": number(public.e, 3)}
    elif algorithm == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_numbers()
        jwk = {"kty": "EC", "crv": "P-256", "x": number(public.x, 32), "y": number(public.y, 32)}
    else:
        key = ed25519.Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": text(public)}
    KEYS[kid] = key
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, info)
    der = key.public_key().public_bytes(serialization.Encoding.DER, info)
    return {
        "jwk": jwk | {"kid": kid, "alg": algorithm, "use": "sig"},
        "pem": base64.b64encode(pem).decode(),
        "der": base64.b64encode(der).decode(),
    }


def signature(key, message):
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return key.sign(message)


def token(request):
    parts = [text(request[part].encode()) for part in ("header", "payload")]
    message = ".".join(parts).encode()
    if "hmac" in request:
        secret = base64.b64decode(request["hmac"])
        signed = hmac.new(secret, message, hashlib.sha256).digest()
    else:
        signed = signature(KEYS[request["sign"]], message)
    return {"token": f"{message.decode()}.{text(signed)}"}


for line in sys.stdin:
    request = json.loads(line)
    answer = new(request["new"], request["kid"]) if "new" in request else token(request)
    print(json.dumps(answer), flush=True)
