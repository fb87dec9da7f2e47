"""A server and a client talk to each other, in one program, and stop.

Both greet. What a side asks for with receive_message it gets there; everything else goes to its
when_new_msg callback.
"""

import asyncio

import coromega_ws as coromega

THE_END = "the dialogue is over"


async def serve(conn):
    async def echo(msg):
        if msg is None:
            return  # the client has gone
        print("websocket server received (not intercepted): ", msg, sep="\t")
        await conn.send_message("server echo: " + msg)

    conn.when_new_msg(echo)
    await conn.send_message("server hello")
    received = await conn.receive_message()
    print("websocket server received (first message): ", received, sep="\t")


def tell_dead(reason):
    if reason != THE_END:
        print("websocket server dead, reason: ", reason, sep="\t")


listener = coromega.create_websocket_server("127.0.0.1", 0).when_new_conn(serve).when_dead(tell_dead)


@coromega.start_new
async def talk():
    conn = await coromega.connect_to_websocket("ws://{}:{}".format(*listener.address))
    answered = asyncio.Event()

    @conn.when_new_msg
    def show(msg):
        if msg is not None:
            print("websocket client received (not intercepted): ", msg, sep="\t")
            answered.set()

    await conn.send_message("client hello")
    received = await conn.receive_message()
    print("websocket client received (first message): ", received, sep="\t")

    for number in 1, 2:
        answered.clear()
        await conn.send_message(f"client hello {number}")
        await answered.wait()
    for number in 3, 4:
        await conn.send_message(f"client hello {number}")
        received = await conn.receive_message()
        print("websocket client received: ", received, sep="\t")

    await conn.close()
    await listener.close(THE_END)


coromega.run()
