"""A small closed-loop load client over raw sockets: latencies of answered requests at a fixed concurrency."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import count
from statistics import quantiles


@dataclass(frozen=True, slots=True)
class Load:
    """What one window showed; latencies in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


COUNTER = b"0000000000"


async def run(port: int, raw: bytes, clients: int, seconds: float) -> Load:
    """Send `raw` over and over on `clients` kept-alive connections. Raises RuntimeError for any answer but 200.

    The first COUNTER in `raw` is replaced by a number that no other request has, so that no text is ever sent twice and
    nothing can be answered from a cache of texts.
    """
    latencies: list[float] = []
    before, _, after = raw.partition(COUNTER)
    first = time.time_ns() // 1_000_000 % 10**7 * 1000
    numbers = count()
    began = time.perf_counter()
    until = began + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until:
            number = (first + next(numbers)) % 10**10
            request = before + b"%010d" % number + after if COUNTER in raw else raw
            start = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                raise RuntimeError(f"answer was {head.splitlines()[0]!r}")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            latencies.append((time.perf_counter() - start) * 1e3)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one() for _ in range(clients)))
    cuts = quantiles(latencies, n=100)
    return Load(len(latencies), time.perf_counter() - began, cuts[49], cuts[98])
