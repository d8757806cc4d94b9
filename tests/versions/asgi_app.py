"""The application of ../process/app.py for ASGI workers: each path fails in one way. No framework, so that nothing of its own fails."""

import asyncio
import ctypes
import os
import signal
import sys
import time


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    parts = scope["path"].strip("/").split("/")
    what, value = parts[0], parts[1] if len(parts) > 1 else ""
    status, headers, body = 200, [], b"ok\n"
    if what == "sleep":
        await asyncio.sleep(float(value))
    elif what == "hang":
        time.sleep(float(value))
    elif what == "block":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGABRT})
        ctypes.PyDLL(None).sleep(int(value))
    elif what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(5)
    elif what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(5)
    elif what == "exit":
        os._exit(int(value))
    elif what == "leave":
        sys.exit(int(value))
    elif what == "header":
        headers.append((b"x-large", b"x" * 60_000))
    elif what == "status":
        status = int(value)
    elif what == "refuse":
        status, body = 413, b"too large\n"
    headers.append((b"content-length", str(100_000 if what == "cut" else len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if what == "cut":
        await send({"type": "http.response.body", "body": b"x" * 20_000, "more_body": True})
        await asyncio.sleep(0.2)
        os._exit(1)
    await send({"type": "http.response.body", "body": body})
