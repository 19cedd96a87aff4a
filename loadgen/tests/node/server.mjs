// The key-value service over TCP and WebSocket, with Node and its `ws` package:
//
//     node server.mjs --tcp 127.0.0.1:1601 --ws 127.0.0.1:1603
import { createServer as createHttpServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { parseArgs } from "node:util";
import { WebSocketServer } from "ws";

const MESSAGE_MAX = 65_536; // bytes, the end of a line not counted
const NAME_MAX = 64; // bytes
const BUFFERED_MAX = 1 << 20; // bytes of replies that a client has not read; beyond it, it is not read either
const CLOSE_TIMEOUT = 5_000; // milliseconds that a client has to close after the server
const WRONG = "wrong message format";
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const sessions = new Map(); // the live sessions of both transports, by user name

// What one connection's messages do, and what they are answered. It does no I/O.
class Session {
  name = null;
  store = new Map();
  isManager = false;
  hasEnded = false;

  answer(bytes) {
    if (bytes.length > MESSAGE_MAX) {
      this.end();
      return "message too long";
    }
    let words;
    try {
      words = utf8.decode(bytes).match(/[^ \t\n\f\r]+/g) ?? [];
    } catch {
      return WRONG;
    }
    return this.name === null ? this.logIn(words) : this.run(words);
  }

  logIn(words) {
    const [name] = words;
    if (words.length !== 1 || Buffer.byteLength(name) > NAME_MAX) return WRONG;
    if (sessions.has(name)) return "duplicate user name";
    sessions.set(name, this);
    this.name = name;
    return "success";
  }

  run([command, ...operands]) {
    switch (`${command} ${operands.length}`) {
      case "put 2":
        this.store.set(...operands);
        return "done";
      case "get 1":
        return this.store.get(operands[0]) ?? "key not found";
      case "get 2": {
        if (!this.isManager) return "you are not allowed to access keys of other users";
        const user = sessions.get(operands[0]);
        return user ? (user.store.get(operands[1]) ?? "key not found") : "user not found";
      }
      case "upgrade 0":
        if (this.isManager) return "already a manager";
        this.isManager = true;
        return "upgraded to manager";
      case "q 0":
        this.end();
        return "exiting";
    }
    return WRONG;
  }

  // Frees the name and drops the store, before the client can see that the connection ends.
  end() {
    this.hasEnded = true;
    if (this.name !== null) sessions.delete(this.name);
    this.name = null;
  }
}

const tcp = createTcpServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  const session = new Session();
  let rest = Buffer.alloc(0);
  const answer = (line) => {
    if (line.at(-1) === 13) line = line.subarray(0, -1);
    socket.write(session.answer(line) + "\n");
  };
  socket.on("data", (chunk) => {
    if (session.hasEnded) return; // read, so that no reset overtakes the last reply, but not run
    rest = Buffer.concat([rest, chunk]);
    socket.cork(); // the replies to one chunk go out in one write
    for (let end; !session.hasEnded && (end = rest.indexOf(10)) >= 0; rest = rest.subarray(end + 1)) {
      answer(rest.subarray(0, end));
    }
    if (!session.hasEnded && rest.length > MESSAGE_MAX + 1) answer(rest);
    socket.uncork();
    if (session.hasEnded) {
      socket.end();
      setTimeout(() => socket.destroy(), CLOSE_TIMEOUT).unref();
    } else if (socket.writableLength > BUFFERED_MAX) {
      socket.pause();
      socket.once("drain", () => socket.resume());
    }
  });
  socket.on("end", () => socket.end()); // a last line without its end is not run
  socket.on("error", () => {});
  socket.on("close", () => session.end());
});

const http = createHttpServer((_, response) =>
  response.writeHead(426, { upgrade: "websocket", connection: "upgrade, close" }).end(),
);
const webSockets = new WebSocketServer({
  noServer: true,
  maxPayload: MESSAGE_MAX,
  perMessageDeflate: false,
  allowSynchronousEvents: false, // one message, then the others have their turn
});

// What `ws` leaves to its user, or takes though the protocol does not.
const refusal = ({ headers, httpVersion }) => {
  if (httpVersion !== "1.1" || headers.host === undefined) return "400 Bad Request";
  if (headers["sec-websocket-version"] !== "13") return "426 Upgrade Required\r\nSec-WebSocket-Version: 13";
  if (headers.origin !== undefined && !origin.includes(headers.origin)) return "403 Forbidden";
};

http.on("upgrade", (request, socket, head) => {
  socket.on("error", () => {});
  const refused = refusal(request);
  if (refused) return socket.end(`HTTP/1.1 ${refused}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  socket.setNoDelay(true);
  webSockets.handleUpgrade(request, socket, head, (webSocket) => {
    const session = new Session();
    const close = (code) => {
      session.end();
      webSocket.close(code);
      setTimeout(() => webSocket.terminate(), CLOSE_TIMEOUT).unref();
    };
    webSocket.on("message", (message, isBinary) => {
      if (session.hasEnded) return;
      if (isBinary) return close(1003);
      webSocket.send(session.answer(message), () => webSocket.resume());
      if (session.hasEnded) close(1000);
      else if (webSocket.bufferedAmount > BUFFERED_MAX) webSocket.pause();
    });
    webSocket.on("error", () => {});
    webSocket.on("close", () => session.end());
  });
});

const option = { type: "string" };
const { values } = parseArgs({
  options: { tcp: option, ws: option, origin: { ...option, multiple: true, default: [] } },
});
const { origin } = values;
for (const [name, server] of Object.entries({ tcp, ws: http })) {
  const [, host, port] = values[name].match(/^\[?(.*?)\]?:(\d+)$/);
  server.listen({ host, port, backlog: 1024 }, () => {
    console.log(`listening ${name} ${server.address().address}:${server.address().port}`);
  });
}
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    for (const webSocket of webSockets.clients) webSocket.close(1001);
    setTimeout(() => process.exit(0), webSockets.clients.size > 0 ? 1_000 : 0);
  });
}
