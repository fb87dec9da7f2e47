"""The server that both forms make, as the options say."""

import coromega_ws as coromega
import program


def create(given):
    tls = {"certificate_file": given.tls[0], "key_file": given.tls[1]} if given.tls else {}
    return coromega.create_websocket_server(
        "127.0.0.1", 0, compression=given.compress, max_message_size=program.MAX_MESSAGE_SIZE, **tls
    )
