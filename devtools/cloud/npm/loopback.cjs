// Preloaded with `node --require`: whatever a program listens on, it listens on 127.0.0.1, and answers no web page.
// The Kinesis emulator has no option for either: it would take requests from the whole network, and lets any page read its
// answers (CORS).
"use strict";

const net = require("node:net");

const LOOPBACK = "127.0.0.1";
const { listen } = net.Server.prototype;

// The forms that Node documents: (options), (handle), (path), (port, host, backlog), (); each may end in a callback.
function optionsOf([first, ...rest]) {
  if (first !== null && typeof first === "object") return first;
  const backlog = rest.find((argument) => typeof argument === "number");
  if (typeof first === "string" && Number.isNaN(Number(first))) return { path: first, backlog };
  return { port: typeof first === "function" ? 0 : (first ?? 0), backlog };
}

net.Server.prototype.listen = function listenOnLoopback(...args) {
  const options = optionsOf(args);
  const callback = args.filter((argument) => typeof argument === "function").slice(-1);
  if (options.path !== undefined) return listen.call(this, options, ...callback); // a Unix socket has no address
  if (options.fd !== undefined || options.handle || options._handle) {
    throw new Error("loopback.cjs: refused a socket that is bound already, perhaps not to loopback");
  }
  return listen.call(this, { ...options, host: LOOPBACK, port: options.port ?? 0 }, ...callback);
};

// A connection is handed on once its first request is no page's (as in guard.py; a browser shares none between hosts), or
// it is HTTP/2, which browsers speak over TLS alone. Nothing here uses TLS: it is closed, as whatever else is not HTTP.
const MOST_HEAD_BYTES = 65536;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const OWN_HOST = // the names of guard.py: the router passes on whatever Host it has taken
  /\r\nhost:[ \t]*(?:127(?:\.[0-9]{1,3}){3}|\[::1\]|host\.docker\.internal|(?:[a-z0-9_-][a-z0-9_.-]*\.)?localhost)(?::[0-9]{1,5})?[ \t]*\r\n/i;
const OF_A_PAGE = /^OPTIONS |\r\n(?:origin|sec-fetch-site)[ \t]*:/i;
const REFUSAL = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const { emit } = net.Server.prototype;

net.Server.prototype.emit = function emitChecked(event, socket, ...rest) {
  if (event !== "connection") return emit.call(this, event, socket, ...rest);
  let start = Buffer.alloc(0);
  const drop = () => socket.destroy();
  const read = () => {
    start = Buffer.concat([start, socket.read() ?? Buffer.alloc(0)]);
    const [head, whole] = start.toString("latin1").split("\r\n\r\n", 2);
    const isHttp2 = PREFACE.startsWith(start.toString("latin1", 0, PREFACE.length));
    if (whole === undefined || (isHttp2 && start.length < PREFACE.length)) {
      if (start.length > MOST_HEAD_BYTES || (start[0] ?? 0x41) < 0x41) drop();
      return;
    }
    socket.off("readable", read).off("end", drop).off("error", drop);
    if (!isHttp2 && (OF_A_PAGE.test(head) || !OWN_HOST.test(`${head}\r\n`))) {
      socket.end(REFUSAL);
      return;
    }
    socket.unshift(start);
    emit.call(this, event, socket, ...rest);
  };
  socket.on("readable", read).on("end", drop).on("error", drop);
  return true;
};
