"""The ends of pairs in a Python host: numbered messages out, and each of them back in its order."""

import asyncio

import coromega_ws as coromega
from messages import HALF, UNFINISHED, WINDOW, has_pauses, is_in_fragments, message, parts


class PairEnd:
    """One end of a pair, and how far it is. Only its own task takes messages."""

    def __init__(self, role, conn, fragments, sent=0, received=0):
        self.role, self.conn, self.fragments = role, conn, fragments
        self.sent, self.received = sent, received
        self.giving = self.stopping = False
        # An end is broken off by a message that stays half: by this one's, or by the other's.
        self.breaking = self.leaves_half = False
        self.task = None

    async def send(self, text):
        """Sends the next message; none once the pair has been broken off."""
        conn, binary = self.conn, isinstance(text, bytes)
        try:
            if is_in_fragments(self.sent):
                async with conn.begin_binary() if binary else conn.begin_message() as writer:
                    for part in parts(text):
                        await writer.write(part)
                        if has_pauses(self.sent):
                            await asyncio.sleep(0.005)
            else:
                await (conn.send_binary(text) if binary else conn.send_message(text))
            self.sent += 1
        except coromega.ConnectionClosed:
            if not self.breaking:
                raise
            self.stopping = True

    async def leave_half(self):
        """A writer that is thrown away."""
        self.leaves_half, self.stopping = False, True
        await (await self.conn.begin_message()).write(HALF)

    async def receive(self):
        """The next message, or None behind the last; TimeoutError if none comes for a while."""
        if not self.fragments:
            return self._or_end(await self.conn.receive_message(timeout=0.05))
        got = []
        part = await self.conn.receive_fragment(timeout=0.05)
        while part is not None and not part.fin:
            got.append(part.data)
            part = await self.conn.receive_fragment()
        return self._or_end(part and type(part.data)().join([*got, part.data]))

    def _or_end(self, text):
        end = self.conn.close_code, self.conn.close_reason
        fine = end == UNFINISHED if self.breaking else self.role == "server" and end[0] == 1000
        if text is None and not fine:
            raise AssertionError(f"it ended: {end}")
        return text


class PairEnds:
    """What a host does with the ends that it has, in `self.ends`."""

    async def pair_listen(self, pair, options):
        listener = coromega.create_websocket_server("127.0.0.1", 0, **options)

        def greet(conn):
            self._adopt(pair, PairEnd("server", conn, "fragments" in options))
            listener.close()

        listener.when_new_conn(greet)
        return listener.address

    async def pair_connect(self, pair, url, options):
        conn = await coromega.connect_to_websocket(url, **options)
        self._adopt(pair, PairEnd("client", conn, "fragments" in options))
        return "ok"

    def _adopt(self, pair, end):
        self.ends[pair, end.role] = end
        end.task = self._task(self._serve(pair, end))

    async def pair_give(self, pair, role):
        end = self.ends[pair, role]
        end.giving = True
        await end.task
        return end.conn.handle, end.sent, end.received

    async def pair_take(self, pair, role, fragments, handle, sent, received):
        self._adopt(pair, PairEnd(role, coromega.from_handle(handle), fragments, sent, received))
        return "ok"

    async def pair_forget(self, pair, role):
        self.ends.pop((pair, role), None)
        return "ok"

    async def pair_progress(self, pair, role):
        return self.ends[pair, role].received

    async def pair_stop(self, pair):
        end = self.ends[pair, "client"]
        end.stopping = True
        await end.task
        await end.conn.close()
        return end.received

    async def pair_break(self, pair, role, leaves_half):
        end = self.ends[pair, role]
        end.breaking, end.leaves_half = True, leaves_half
        return "ok"

    async def pair_broken(self, pair, role):
        end = self.ends[pair, role]
        await end.task
        return end.sent, end.received

    async def _serve(self, pair, end):
        try:
            await (self._ask if end.role == "client" else self._echo)(end)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            self.failed(f"pair {pair}, {end.role} in python, {end.sent} sent, {end.received} received: {error!r}")

    async def _ask(self, end):
        while not end.giving and (end.breaking or not end.stopping or end.sent > end.received):
            if end.leaves_half:
                await end.leave_half()
            while not end.stopping and not end.leaves_half and end.sent - end.received < WINDOW:
                await end.send(message(end.sent))
            try:
                text = await end.receive()
            except TimeoutError:
                continue
            if text is None:
                return
            if text != message(end.received):
                raise AssertionError(f"got {text[:40]!r} of {len(text)}")
            end.received += 1
            if end.received % WINDOW == 0:
                await asyncio.sleep(0.005)

    async def _echo(self, end):
        while not end.giving:
            if end.leaves_half:
                await end.leave_half()
            try:
                text = await end.receive()
            except TimeoutError:
                continue
            if text is None:
                return
            end.received += 1
            if not end.stopping:
                await end.send(text)
