"""Key pairs, by the one program that every user of WireGuard has."""
import base64
import subprocess


def wg(what, text=None):
    return subprocess.run(["wg", what], input=text, capture_output=True, text=True, check=True).stdout.strip()


class Key:
    def __init__(self):
        self.secret = wg("genkey")
        self.public = wg("pubkey", self.secret)


def hexadecimal(key):
    return base64.b64decode(key).hex()
