"""Directives of atomics.vmasm: float sums in block order, rounded at each step; engines that compile may take any order."""
import random

from cases import *

random.seed(27)
c = Cases('atomics')
c.file('atomics.vmasm')
for name, blocks in (('f16', 9), ('bf16', 9), ('f32', 40), ('f64', 40)):
    t = typ(name)
    v = [[decode(t, encode(t, num(Q(random.randint(-10 ** 5, 10 ** 5), random.randint(1, 10 ** 4)))))
          for _ in range(3)] for _ in range(blocks)]
    x = [num(1), num(1000), num(Q(1, 2))]
    total = list(x)
    for row in v:
        total = [decode(t, encode(t, add(a, b))) for a, b in zip(total, row)]
    c.case(f'block order {name}', 'summed', f'F={name} G={blocks}',
           ins={'v': (name, v), 'x': (name, x)},
           outs={'x': (name, total, sum_within(t, list(zip(x, *v))))})
c.done()
