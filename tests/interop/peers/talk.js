// What a JavaScript peer says to our side, in Node and in a browser. What our side answers is told
// in test_peers.py; talk.py says the same in Python.
"use strict";

// One end of a WebSocket: its messages, in order, and how it ended.
class End {
  constructor(socket) {
    this.socket = socket;
    this.inbox = [];
    this.ended = null;
    this.wake = () => {};
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => {
      this.inbox.push(typeof event.data === "string" ? event.data : new Uint8Array(event.data));
      this.wake();
    };
    socket.onopen = () => this.wake();
    socket.onclose = (event) => {
      this.ended = `${event.code} ${event.reason}`;
      this.wake();
    };
    socket.onerror = (event) => {
      this.error = event.message;
    };
  }

  async until(condition) {
    while (!condition()) await new Promise((resolve) => (this.wake = resolve));
  }

  async receive() {
    await this.until(() => this.inbox.length > 0 || this.ended !== null);
    if (this.inbox.length === 0) throw new Error(`ended: ${this.ended} ${this.error}`);
    return this.inbox.shift();
  }

  async end() {
    await this.until(() => this.ended !== null);
    return this.ended;
  }
}

function show(message) {
  if (message instanceof Uint8Array) return `${message.length} bytes ${message.slice(0, 20)}`;
  return typeof message === "string" ? `text ${message.length} ${message.slice(0, 60)}` : `${message}`;
}

function same(a, b) {
  if (typeof a === "string" || typeof b === "string") return a === b;
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

// Bytes that look random and are the same each time.
function noise(length) {
  const bytes = new Uint8Array(length);
  for (let at = 0, x = 1; at < length; at++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    bytes[at] = x >>> 24;
  }
  return bytes;
}

const MIB = 1 << 20;
const MESSAGES = [
  "hello", "", new Uint8Array(0), "grüß 你好 🦀 \u0000", Uint8Array.from({ length: 256 }, (_, at) => at),
  ...[125, 126, 127, 65535, 65536].flatMap((size) => ["x".repeat(size), noise(size)]),
  noise(MIB), "grüß".repeat(MIB / 8) + "你好".repeat(MIB / 24),
];

// Each path is a conversation of its own. It throws what it finds wrong.
const talks = {
  async "/talk"(end) {
    const expect = (got, wanted, what) => {
      if (!same(got, wanted)) throw new Error(`${what}: ${show(wanted)} came back as ${show(got)}`);
    };
    end.socket.send("!request");
    expect(await end.receive(), `/talk ${end.socket.protocol}`, "request");
    for (const message of MESSAGES) {
      end.socket.send(message);
      expect(await end.receive(), message, "echo");
    }
    if (end.ping) await end.ping();
    if (end.fragments) expect(await end.receive(end.fragments()), "grüß 你好", "fragments");
    for (let number = 0; number < 1000; number++) end.socket.send(`${number}`);
    for (let number = 0; number < 1000; number++) expect(await end.receive(), `${number}`, "burst");
    end.socket.send("!burst 1000");
    for (let number = 0; number < 1000; number++) expect(await end.receive(), `${number}`, "their burst");
    end.socket.close(4001, "bye grüß");
    const ended = await end.end();
    // The answer to a close frame need not repeat its reason.
    if (!ended.startsWith("4001 ")) throw new Error(`closed with 4001, and heard ${ended}`);
  },
  async "/theirs"(end) {
    end.socket.send("!close 4002 over ünd out");
    const ended = await end.end();
    if (ended !== "4002 over ünd out") throw new Error(`they closed with ${ended}`);
  },
  async "/no-code"(end) {
    end.socket.close();
    const ended = await end.end();
    if (ended !== "1005 ") throw new Error(`closed without a code, and heard ${ended}`);
  },
  async "/too-big"(end) {
    end.socket.send(new Uint8Array(MIB + 1));
    const ended = await end.end();
    if (!ended.startsWith("1009 ")) throw new Error(`too big, and they closed with ${ended}`);
  },
};

// Checks what was negotiated and talks; returns "" or what is wrong.
async function converse(end, path, compressed) {
  try {
    const { extensions } = end.socket;
    if (extensions.startsWith("permessage-deflate") !== compressed) return `negotiated: ${extensions}`;
    await talks[path](end);
    return "";
  } catch (error) {
    return `${path}: ${error.message}`;
  }
}

if (typeof module !== "undefined") module.exports = { End, converse };
