#!/usr/bin/env python3
"""Writes vectors.h: a Noise_IKpsk2 handshake with WireGuard's prologue, computed from the paper with nothing but
Python's own BLAKE2s.  X25519 (RFC 7748) and ChaCha20-Poly1305 (RFC 8439) are spelled out below and check themselves
against the RFCs' vectors first.

    ./vectors.py > vectors.h
"""
import hashlib
import hmac
import struct

# X25519, RFC 7748

P = 2**255 - 19


def x25519(k, u):
    k = bytearray(k)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(u, "little") & (2**255 - 1)
    x2, z2, x3, z3 = 1, 0, x1, 1
    for t in reversed(range(255)):
        bit = k >> t & 1
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        e = aa - bb
        x3, z3 = (da + cb)**2 % P, x1 * (da - cb)**2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def public(k):
    return x25519(k, (9).to_bytes(32, "little"))


# ChaCha20-Poly1305, RFC 8439


def rotate(v, n):
    return (v << n | v >> (32 - n)) & 0xffffffff


def rounds(s):
    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xffffffff
            s[z] = rotate(s[z] ^ s[x], n)
    for _ in range(10):
        quarter(0, 4, 8, 12), quarter(1, 5, 9, 13), quarter(2, 6, 10, 14), quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15), quarter(1, 6, 11, 12), quarter(2, 7, 8, 13), quarter(3, 4, 9, 14)


SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def block(key, counter, nonce):
    start = list(SIGMA + struct.unpack("<8I", key) + (counter,) + struct.unpack("<3I", nonce))
    state = list(start)
    rounds(state)
    return struct.pack("<16I", *((a + b) & 0xffffffff for a, b in zip(state, start)))


def chacha20(key, counter, nonce, data):
    out = bytearray()
    for i in range(0, len(data), 64):
        out += bytes(a ^ b for a, b in zip(data[i:i + 64], block(key, counter + i // 64, nonce)))
    return bytes(out)


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    acc = 0
    for i in range(0, len(data), 16):
        acc = (acc + int.from_bytes(data[i:i + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((acc + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def pad(data):
    return data + bytes(-len(data) % 16)


def seal(key, nonce, plain, aad):
    cipher = chacha20(key, 1, nonce, plain)
    mac = pad(aad) + pad(cipher) + struct.pack("<QQ", len(aad), len(cipher))
    return cipher + poly1305(block(key, 0, nonce)[:32], mac)


def xseal(key, nonce, plain, aad):
    """XChaCha20-Poly1305: draft-irtf-cfrg-xchacha."""
    state = list(SIGMA + struct.unpack("<8I", key) + struct.unpack("<4I", nonce[:16]))
    rounds(state)
    return seal(struct.pack("<8I", *(state[:4] + state[12:])), bytes(4) + nonce[16:], plain, aad)


def self_check():
    assert public(bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")).hex() == \
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
    aad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    key = bytes(range(0x80, 0xa0))
    assert seal(key, bytes.fromhex("070000004041424344454647"), plain, aad)[-16:].hex() == \
        "1ae10b594f09e26a7e902ecbd0600691"
    assert xseal(key, bytes(range(0x40, 0x58)), plain, aad)[-16:].hex() == "c0875924c1c7987947deafd8780acf49"


# WireGuard, the paper's section 5.4

CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"


def blake2s(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def mac(key, *parts):
    return hashlib.blake2s(b"".join(parts), key=key, digest_size=16).digest()


def hmac2s(key, data):
    return hmac.new(key, data, hashlib.blake2s).digest()


def kdf(n, key, data):
    secret, out, last = hmac2s(key, data), [], b""
    for i in range(1, n + 1):
        last = hmac2s(secret, last + bytes([i]))
        out.append(last)
    return out


def aead(key, counter, plain, aad):
    return seal(key, bytes(4) + struct.pack("<Q", counter), plain, aad)


def tai64n(sec, nsec):
    return struct.pack(">QI", 2**62 + 10 + sec, nsec & ~(2**24 - 1))


def handshake(si, sr, ei, er, psk, stamp, index_i, index_r):
    spub_i, spub_r, epub_i, epub_r = map(public, (si, sr, ei, er))
    ck = blake2s(CONSTRUCTION)
    h = blake2s(blake2s(ck, IDENTIFIER), spub_r)

    # e, es, s, ss, {t}
    (ck,), h = kdf(1, ck, epub_i), blake2s(h, epub_i)
    ck, k = kdf(2, ck, x25519(ei, spub_r))
    static = aead(k, 0, spub_i, h)
    h = blake2s(h, static)
    ck, k = kdf(2, ck, x25519(si, spub_r))
    timestamp = aead(k, 0, stamp, h)
    h = blake2s(h, timestamp)
    initiation = struct.pack("<II", 1, index_i) + epub_i + static + timestamp
    initiation += mac(blake2s(b"mac1----", spub_r), initiation)
    initiation += bytes(16)

    # e, ee, se, psk, {}
    (ck,), h = kdf(1, ck, epub_r), blake2s(h, epub_r)
    (ck,) = kdf(1, ck, x25519(er, epub_i))
    (ck,) = kdf(1, ck, x25519(er, spub_i))
    ck, tau, k = kdf(3, ck, psk)
    h = blake2s(h, tau)
    nothing = aead(k, 0, b"", h)
    response = struct.pack("<III", 2, index_r, index_i) + epub_r + nothing
    response += mac(blake2s(b"mac1----", spub_i), response)
    response += bytes(16)

    send, receive = kdf(2, ck, b"")
    return initiation, response, send, receive


def c_bytes(name, data):
    rows = [", ".join(f"0x{b:02x}" for b in data[i:i + 16]) for i in range(0, len(data), 16)]
    return f"static const uint8_t {name}[{len(data)}] = {{\n\t" + ",\n\t".join(rows) + ",\n};\n"


def main():
    self_check()
    si, sr, ei, er, psk = (hashlib.blake2s(f"warren test vector: {n}".encode()).digest()
                           for n in ("static i", "static r", "ephemeral i", "ephemeral r", "psk"))
    sec, nsec, index_i, index_r = 1795536000, 123456789, 0x01234567, 0x89abcdef
    print("/* Made by vectors.py: do not edit. */")
    print("#ifndef TESTS_UNIT_WG_VECTORS_H\n#define TESTS_UNIT_WG_VECTORS_H\n\n#include <stdint.h>\n")
    print("/* clang-format off */")
    print(f"#define VECTOR_SEC {sec}\n#define VECTOR_NSEC {nsec}")
    print(f"#define VECTOR_INDEX_I 0x{index_i:08x}U\n#define VECTOR_INDEX_R 0x{index_r:08x}U\n")
    for name, value in (("static_i", si), ("static_r", sr), ("ephemeral_i", ei), ("ephemeral_r", er), ("psk", psk),
                        ("public_i", public(si)), ("public_r", public(sr))):
        print(c_bytes("vector_" + name, value))
    print(c_bytes("vector_timestamp", tai64n(sec, nsec)))
    packet = bytes(range(64))
    for tag, key in (("", psk), ("_nopsk", bytes(32))):
        initiation, response, send, receive = handshake(si, sr, ei, er, key, tai64n(sec, nsec), index_i, index_r)
        if not tag:
            print(c_bytes("vector_initiation", initiation))
        print(c_bytes(f"vector_response{tag}", response))
        print(c_bytes(f"vector_i_to_r{tag}", send))
        print(c_bytes(f"vector_r_to_i{tag}", receive))
        if not tag:
            data = struct.pack("<IIQ", 4, index_r, 7) + aead(send, 7, packet, b"")
            print(c_bytes("vector_data", data))
            # A cookie reply of the responder to the initiation, and the mac2 that it leads to.
            cookie, nonce = bytes(range(0xa0, 0xb0)), bytes(range(24))
            sealed = xseal(blake2s(b"cookie--", public(sr)), nonce, cookie, initiation[116:132])
            print(c_bytes("vector_cookie", cookie))
            print(c_bytes("vector_cookie_reply", struct.pack("<II", 3, index_i) + nonce + sealed))
            print(c_bytes("vector_mac2", mac(cookie, initiation[:132])))
    for n in (1, 2, 3):
        print(c_bytes(f"vector_kdf{n}", b"".join(kdf(n, si, b"warren"))))
    print("/* clang-format on */\n#endif")


main()
