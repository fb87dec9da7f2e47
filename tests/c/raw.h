/* Peers that speak WebSocket by hand over a plain socket: slow ones, silent ones, hostile ones. */
#ifndef RAW_H
#define RAW_H

#include "support.h"

enum { OP_CONTINUATION = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* A frame as it was read. `code` is that of a close frame, 0 if it has none. */
struct frame {
    int opcode;
    bool fin, masked;
    size_t length;
    unsigned code;
    char payload[66000];
};

/* A listening socket on 127.0.0.1. */
int raw_listen(uint16_t *out_port);
int raw_accept(int listener);
int raw_connect(uint16_t port);
/* Reads what comes until the empty line of an HTTP head. */
void raw_read_head(int fd, char *head, size_t capacity);
/* Reads what comes until the peer ends its side; it ends with a NUL. */
size_t raw_read_all(int fd, char *data, size_t capacity);
/* Answers the opening handshake that comes on a socket, and agrees to the first subprotocol that is
 * offered; the request goes to `head`. */
void raw_serve_handshake(int fd, char *head, size_t capacity);
/* The same, with these lines more in the answer; each ends with CR LF. */
void raw_serve_with(int fd, char *head, size_t capacity, const char *lines);
/* Accepts a client of the library and shakes hands. */
int raw_serve(int listener);
/* Connects to a listener of the library and shakes hands. */
int raw_open(uint16_t port);
void raw_write(int fd, const void *data, size_t length);
/* Sends one whole frame. Clients mask. */
void raw_send(int fd, int opcode, bool masked, const void *data, size_t length);
void raw_send_close(int fd, bool masked, unsigned code, const char *reason);
/* Reads a frame; false at the end of the stream or when it was reset. */
bool raw_read(int fd, struct frame *out_frame);
/* Ends a socket with a reset. */
void raw_reset(int fd);

#endif
