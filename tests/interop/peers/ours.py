"""Our side of the interop tests in Python; what it does is told in test_peers.py."""

import sys

import coromega_ws as coromega


def arguments(words):
    options = {}
    for flag, value in zip(words[::2], words[1::2], strict=True):
        try:
            options[flag[2:].replace("-", "_")] = float(value)
        except ValueError:
            options[flag[2:].replace("-", "_")] = value
    return options


def attend(conn):
    async def answer(message):
        try:
            if message is None:
                print("CLOSED", conn.close_code, conn.close_reason, flush=True)
            elif isinstance(message, bytes):
                await conn.send_binary(message)
            elif message.startswith("!close "):
                _, code, reason = message.split(" ", 2)
                await conn.close(int(code), reason)
            elif message.startswith("!burst "):
                for number in range(int(message.split()[1])):
                    await conn.send_message(str(number))
            elif message == "!request":
                request = conn.request()
                await conn.send_message(f"{request.path} {request.subprotocol}")
            else:
                await conn.send_message(message)
        except coromega.ConnectionClosed:
            pass  # it left before its answer

    conn.when_new_msg(answer)


async def connect(url, protocols, options):
    try:
        attend(await coromega.connect_to_websocket(url, {"Sec-WebSocket-Protocol": protocols}, **options))
    except coromega.ConnectError as error:
        print("FAILED", error, flush=True)


def main():
    if sys.argv[1] == "serve":
        listener = coromega.create_websocket_server("127.0.0.1", 0, **arguments(sys.argv[2:]))
        listener.when_new_conn(attend)
        print("LISTENING", listener.address[1], flush=True)
    else:
        coromega.start_new(connect, *sys.argv[2:4], arguments(sys.argv[4:]))
    coromega.run()


main()
