"""Prints tests/unit/data_generators.inc: the first random elements, computed apart from vm/data.

    python3 tests/data/generators.py > tests/unit/data_generators.inc
"""
import math

M = 2**32


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q // M ^ c[1] ^ k[0], q % M, p // M ^ c[3] ^ k[1], p % M]
        k = [(k[0] + 0x9E3779B9) % M, (k[1] + 0xBB67AE85) % M]
    return c


words = [philox((n, 0, 0, 0), (42, 0)) for n in range(4)]
pairs = [(a * M + b, c * M + d) for a, b, c, d in words]
signed = [p - 2**64 if p >= 2**63 else p for p, _ in pairs]
normal = [math.sqrt(-2 * math.log(((p >> 11) + 1) / 2**53)) * math.cos(2 * math.pi * ((q >> 11) / 2**53)) for p, q in pairs]
print("constexpr double kUniform[] = {%s};" % ", ".join(((p >> 11) / 2**53).hex() for p, _ in pairs))
print("constexpr double kNormal[] = {%s};" % ", ".join(x.hex() for x in normal))
print("constexpr int64_t kInteger[] = {%s};" % ", ".join(map(str, signed)))
print("constexpr int64_t kRanged[] = {%s};" % ", ".join(str(-10 + (p * 21 >> 64)) for p, _ in pairs))
