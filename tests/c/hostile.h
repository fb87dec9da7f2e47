/* What the tests of hostile peers share: deflate by hand, handshakes of their own, CPU time. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "raw.h"

/* Writes a compressed message by hand (RFC 1951, 3.2.6): the bytes of `head`, each below 144, and
 * then `zeros` zeros, 258 of them in 13 bits. Returns its length. */
size_t deflate_zeros(unsigned char *out, const unsigned char *head, size_t head_length,
                     size_t zeros);
/* Writes a masked frame whose key is 0, or one without a key; returns its length. */
size_t put_frame(unsigned char *out, int first, bool masked, const void *data, size_t length);
/* Sends a request to upgrade with these lines more; each ends with CR LF. */
int ask(uint16_t port, const char *lines);
/* The same, and takes the answer, which must be a 101. */
int open_with(uint16_t port, const char *lines);
/* Accepts a client of the library and opens with these lines more in the answer. */
int serve_with(int listener, const char *lines);
/* Sets an option by its name. */
void set(cmws_options_t *options, const char *name, double value);
/* A listener with these options, and a raw client of it. */
cmws_handle_t open_hostile(struct loop *loop, const cmws_options_t *options, const char *lines,
                           int *out_fd);
/* A client with these options, and the raw server that it is connected to. */
cmws_handle_t dial_hostile(struct loop *loop, const cmws_options_t *options, const char *lines,
                           int *out_fd);
/* Reads what comes up to a close frame, and returns its code. */
unsigned code_of_close(int fd);
/* What this process has computed so far; less, where it is slow for other reasons. */
long cpu_ms(void);

/* An offer to a server, and an answer that every client of ours takes. */
#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate\r\n"
#define DEFLATED                                                                                   \
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "                   \
    "client_no_context_takeover\r\n"

#endif
