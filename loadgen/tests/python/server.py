#!/usr/bin/env python3
"""The key-value service over TCP and WebSocket: server.py --tcp 127.0.0.1:1601 --ws 127.0.0.1:1603"""

import argparse
import asyncio
import re
import signal

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

MESSAGE_MAX = 65_536  # bytes, the end of a line not counted
NAME_MAX = 64  # bytes
BACKLOG = 1024  # connections that wait to be accepted
CLOSE_TIMEOUT = 5  # seconds that a client has to close after the server
WORD = re.compile(r"[^ \t\n\f\r]+")  # only ASCII white space counts: str.split() knows more
WRONG = "wrong message format"
sessions = {}  # the live sessions of both transports, by user name


class Session:
    """What one connection's messages do, and what they are answered. It does no I/O."""

    def __init__(self):
        self.name = None
        self.store = {}
        self.is_manager = False
        self.has_ended = False

    def answer(self, message):
        if len(message) > MESSAGE_MAX:
            self.end()
            return "message too long"
        try:
            words = WORD.findall(message.decode())
        except UnicodeDecodeError:
            return WRONG
        return self.log_in(words) if self.name is None else self.run(words)

    def log_in(self, words):
        if len(words) != 1 or len(words[0].encode()) > NAME_MAX:
            return WRONG
        if sessions.setdefault(words[0], self) is not self:
            return "duplicate user name"
        self.name = words[0]
        return "success"

    def run(self, words):
        match words:
            case ["put", key, value]:
                self.store[key] = value
                return "done"
            case ["get", key]:
                return self.store.get(key, "key not found")
            case ["get", user, key]:
                if not self.is_manager:
                    return "you are not allowed to access keys of other users"
                return sessions[user].store.get(key, "key not found") if user in sessions else "user not found"
            case ["upgrade"]:
                was_manager, self.is_manager = self.is_manager, True
                return "already a manager" if was_manager else "upgraded to manager"
            case ["q"]:
                self.end()
                return "exiting"
        return WRONG

    def end(self):
        """Frees the name and drops the store, before the client can see that the connection ends."""
        self.has_ended = True
        sessions.pop(self.name, None)
        self.name = None


async def serve_tcp(reader, writer):
    session = Session()
    try:
        while not session.has_ended:
            try:
                line = (await reader.readuntil(b"\n")).removesuffix(b"\n").removesuffix(b"\r")
            except asyncio.LimitOverrunError:
                line = await reader.readexactly(MESSAGE_MAX + 1)  # as much as shows that it is too long
            writer.write(session.answer(line).encode() + b"\n")
            await writer.drain()  # a client that does not read waits here, and no other with it
            await asyncio.sleep(0)  # a client that sends without pause lets the others have their turn
        # A close with bytes unread becomes a reset, which may overtake the last reply. So read on, but run nothing.
        writer.write_eof()
        async with asyncio.timeout(CLOSE_TIMEOUT):
            while await reader.read(MESSAGE_MAX):
                pass
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        pass  # the client has gone; a last line without its end is not run
    finally:
        session.end()
        writer.close()


async def serve_websocket(websocket):
    session, code = Session(), 1000
    try:
        async for message in websocket:
            if isinstance(message, bytes):
                code = 1003
                break
            await websocket.send(session.answer(message.encode()))
            if session.has_ended:
                break
            await asyncio.sleep(0)
        session.end()
        closing = asyncio.create_task(websocket.close(code))
        async for _ in websocket:
            pass  # the client's close frame comes after all that it has sent
        await closing
    except ConnectionClosed:
        pass
    finally:
        session.end()


def check_handshake(connection, request):
    """What `websockets` leaves to its user: the host, and a refusal that says which version is right."""
    if len(request.headers.get_all("Host")) != 1:
        return connection.respond(400, "exactly one Host expected\n")
    if request.headers.get_all("Sec-WebSocket-Version") != ["13"]:
        refusal = connection.respond(426, "WebSocket version 13 expected\n")
        refusal.headers.update({"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
        return refusal


async def main():
    parser = argparse.ArgumentParser()
    for flag in ("--tcp", "--ws"):
        parser.add_argument(flag, required=True, type=lambda text: text.rsplit(":", 1), metavar="HOST:PORT")
    parser.add_argument("--origin", action="append", default=[], help="whose web pages may connect (repeatable)")
    args = parser.parse_args()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tcp = await asyncio.start_server(serve_tcp, *args.tcp, limit=MESSAGE_MAX + 1, backlog=BACKLOG)
    options = {"compression": None, "max_size": MESSAGE_MAX, "ping_interval": None, "close_timeout": CLOSE_TIMEOUT}
    options |= {"origins": [None, *args.origin], "process_request": check_handshake, "backlog": BACKLOG}
    async with serve(serve_websocket, *args.ws, **options) as ws:  # leaving it closes every connection with 1001
        for transport, server in (("tcp", tcp), ("ws", ws)):
            print("listening {} {}:{}".format(transport, *server.sockets[0].getsockname()[:2]), flush=True)
        await stop.wait()
        tcp.close()


if __name__ == "__main__":
    asyncio.run(main())
