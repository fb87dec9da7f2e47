#!/usr/bin/env python3
"""socketify, uWebSockets for Python: a plain function as the handler of messages, and a topic for many.

This is the form of its documentation and of its own benchmark, which turns compression off and
publishes to a topic. It has a loop of its own and no client.
"""

import program
from socketify import App, AppOptions, CompressOptions

TOPIC = "everyone"


def serve(given):
    app = App(AppOptions(cert_file_name=given.tls[0], key_file_name=given.tls[1]) if given.tls else None)
    compress = given.compress

    def subscribe(ws):
        ws.subscribe(TOPIC)

    def echo(ws, message, opcode):
        ws.send(message, opcode, compress)

    def send_to_all(ws, message, opcode):
        app.publish(TOPIC, message, opcode, compress)

    behavior = {
        "compression": CompressOptions.SHARED_COMPRESSOR if compress else CompressOptions.DISABLED,
        "max_payload_length": 16 * 1024 * 1024,
        "idle_timeout": 60,
        "message": send_to_all if given.broadcast else echo,
    }
    if given.broadcast:
        behavior["open"] = subscribe
    app.ws("/*", behavior)
    app.listen({"host": "127.0.0.1", "port": 0}, lambda config: print("LISTENING", config.port, flush=True))
    app.run()


if __name__ == "__main__":
    serve(program.options(__doc__, lacks=["uvloop", "client"]))
