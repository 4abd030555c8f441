"""Gives an altered file of microlift a right checksum again: the first 512 bytes hold its length and the
XXH64 of the rest."""
import struct
from pathlib import Path

SEAL = 512
MASK = 2**64 - 1
PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
          0x27D4EB2F165667C5)


def rotate(value, bits):
    return (value << bits | value >> (64 - bits)) & MASK


def mix(lane, word):
    return rotate((lane + word * PRIMES[1]) & MASK, 31) * PRIMES[0] & MASK


def xxh64(data):
    first, second, third, fourth, fifth = PRIMES
    at = len(data) // 32 * 32
    value = fifth
    if at:
        lanes = [(first + second) & MASK, second, 0, -first & MASK]
        for words in struct.iter_unpack("<4Q", data[:at]):
            lanes = [mix(lane, word) for lane, word in zip(lanes, words)]
        value = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            value = ((value ^ mix(0, lane)) * first + fourth) & MASK
    value = (value + len(data)) & MASK
    while at + 8 <= len(data):
        word = int.from_bytes(data[at:at + 8], "little")
        value = (rotate(value ^ mix(0, word), 27) * first + fourth) & MASK
        at += 8
    if at + 4 <= len(data):
        word = int.from_bytes(data[at:at + 4], "little")
        value = (rotate(value ^ word * first & MASK, 23) * second + third) & MASK
        at += 4
    for byte in data[at:]:
        value = rotate(value ^ byte * fifth & MASK, 11) * first & MASK
    for shift, prime in ((33, second), (29, third)):
        value = (value ^ value >> shift) * prime & MASK
    return value ^ value >> 32


def reseal(path):
    data = Path(path).read_bytes()
    kind = data[:SEAL].split(b"\n")[1].decode()
    seal = f"microlift file 1\n{kind}\nlength {len(data):020d}\nxxh64 {xxh64(data[SEAL:]):016x}\n"
    Path(path).write_bytes(seal.encode().ljust(SEAL, b"\0") + data[SEAL:])
