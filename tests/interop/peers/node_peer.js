// Node's ws: node_peer.js connect URL DEFLATE CA PROTOCOLS, or serve DEFLATE KEY CERTIFICATE. An
// argument that is "-" is none. It prints "DONE path", and what was wrong, for each connection.
"use strict";
const fs = require("fs");
const http = require("http");
const https = require("https");
const WebSocket = require("ws");
const { End, converse } = require("./talk.js");

function deflate(mode) {
  if (mode === "-") return false;
  if (mode === "usual") return { threshold: 0 };
  return {
    threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true,
    serverMaxWindowBits: 10, clientMaxWindowBits: 10,
  };
}

function attend(socket, path, compressed) {
  const end = new End(socket);
  end.ping = (payload = "are you there?") =>
    new Promise((resolve, reject) => {
      socket.once("pong", (got) => (`${got}` === payload ? resolve() : reject(new Error(`pong: ${got}`))));
      socket.ping(payload);
    });
  // The second character is split, and a ping comes between the fragments.
  end.fragments = () => {
    const bytes = Buffer.from("grüß 你好");
    socket.send(bytes.subarray(0, 3), { fin: false, binary: false });
    socket.ping();
    socket.send(bytes.subarray(3), { fin: true, binary: false });
  };
  return converse(end, path, compressed).then((wrong) => console.log(`DONE ${path} ${wrong}`));
}

const [role, ...rest] = process.argv.slice(2);
const compressed = process.env.COMPRESSED === "1";
if (role === "connect") {
  const [url, mode, ca, protocols] = rest;
  const options = { perMessageDeflate: deflate(mode), maxPayload: 2 << 20 };
  if (ca !== "-") options.ca = fs.readFileSync(ca);
  const socket = new WebSocket(url, protocols === "-" ? [] : protocols.split(","), options);
  const failed = (error) => console.log(`DONE - ${error.message}`);
  socket.once("error", failed);
  socket.once("open", () => {
    socket.off("error", failed);
    attend(socket, new URL(url).pathname, compressed);
  });
} else {
  const [mode, key, certificate] = rest;
  const web =
    key === "-"
      ? http.createServer()
      : https.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(certificate) });
  const server = new WebSocket.Server({ server: web, perMessageDeflate: deflate(mode), maxPayload: 2 << 20 });
  server.on("connection", (socket, request) => attend(socket, request.url, compressed));
  web.listen(0, "127.0.0.1", () => console.log(`LISTENING ${web.address().port}`));
}
