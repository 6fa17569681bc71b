"""Load where wrk is not installed: keep-alive connections, each asking again as soon as it is answered.

Run as `python -m tests.benchmarks.servers.load URL CONNECTIONS SECONDS BODY`; prints the same line of JSON as load.lua.
Python takes about as long to ask as a fast server to answer, so figures of fast servers come out too low with it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit


async def main(url: str, connections: int, seconds: float, body: bytes) -> None:
    """Ask for so long, then print."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    took: list[float] = []
    failed = 0

    async def connection() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while time.perf_counter() < end:
            asked = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            took.append(time.perf_counter() - asked)
            failed += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    began = time.perf_counter()
    end = began + seconds
    await asyncio.gather(*(connection() for _ in range(connections)))
    took.sort()
    result = {"requests": len(took), "seconds": time.perf_counter() - began, "failed": failed}
    result |= {f"p{share}_ms": 1e3 * took[min(len(took) - 1, len(took) * share // 100)] for share in (50, 99)}
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]).read_bytes()))
