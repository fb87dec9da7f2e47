"""A Python program that forks: in mid-use, and by multiprocessing."""

import asyncio
import multiprocessing
import os
import traceback

import coromega_ws as coromega


async def open_pair():
    accepted = asyncio.get_running_loop().create_future()
    listener = coromega.create_websocket_server("127.0.0.1", 0)
    listener.when_new_conn(accepted.set_result)
    host, port = listener.address
    client = await coromega.connect_to_websocket(f"ws://{host}:{port}/")
    return listener, client, await accepted


async def exchange(client, server, text):
    await client.send_message(text)
    assert await server.receive_message() == text


async def use_the_childs():
    listener, client, server = await open_pair()
    await exchange(client, server, "in the child")
    await client.close()
    listener.close()


def use_the_parents(listener, client, server):
    """Every call is refused, and says that it is the fork."""
    calls = [
        lambda: client.send_message("lost"),
        lambda: client.send_binary(b"lost"),
        lambda: client.send({"lost": True}),
        lambda: client.close(),
        lambda: server.receive_message(),
        lambda: server.request(),
        lambda: client.when_new_msg(print),
        lambda: client.latency,
        lambda: listener.close(),
    ]
    for number, call in enumerate(calls):
        try:
            result = call()
            if hasattr(result, "__await__"):
                result = next(result.__await__())
        except coromega.Forked as error:
            assert "forked" in str(error), error
        else:
            raise AssertionError(f"call {number} gave {result!r}")


def work(answers):
    asyncio.run(use_the_childs())
    answers.put("done")


def forked(run):
    """Forks, and returns the child's status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def main():
    listener, client, server = await open_pair()
    waiting = asyncio.ensure_future(server.receive_message())
    await asyncio.sleep(0)

    def child():
        use_the_parents(listener, client, server)
        asyncio.run(use_the_childs())
        use_the_parents(listener, client, server)

    assert forked(child) == 0
    await client.send_message("after")
    assert await waiting == "after"

    # In a call by the library, which knows whose loop runs.
    told = asyncio.get_running_loop().create_future()
    server.when_new_msg(lambda message: told.set_result(forked(child)))
    await client.send_message("fork")
    assert await told == 0
    server.when_new_msg(None)

    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=work, args=(answers,))
    process.start()
    assert await asyncio.to_thread(answers.get, timeout=30) == "done"
    await asyncio.to_thread(process.join)
    assert process.exitcode == 0

    await exchange(client, server, "still here")
    await client.close()


asyncio.run(main())
print("ok")
