// Preloaded with `node --require`: whatever a program listens on, it listens on 127.0.0.1.
// The Kinesis emulator has no option for it and would take requests from the whole network.
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
