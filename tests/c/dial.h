/* What the tests of the ways to a server share. */
#ifndef DIAL_H
#define DIAL_H

#include "raw.h"

extern struct loop loop;
/* The last head that was read. */
extern char head[70000];

void set_text(cmws_options_t *options, const char *name, const char *text);
/* Formats a text with a port; the last four such texts last. */
const char *with_port(const char *format, uint16_t port);
cmws_handle_t dial(const char *address, const cmws_options_t *options);
/* Waits for a connect to fail with this status. */
struct seen fails(cmws_handle_t connection, cmws_status_t status);
void write_text(int fd, const char *text);
void read_exactly(int fd, void *data, size_t length);
/* Shakes hands with the client behind a socket, and has a message go both ways. */
void serve_and_talk(int fd, cmws_handle_t connection);

#endif
