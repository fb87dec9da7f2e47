#include "dial.h"

#include <sys/socket.h>

struct loop loop;
char head[70000];

void set_text(cmws_options_t *options, const char *name, const char *text)
{
    CHECK_OK(cmws_options_set_text(options, name, strlen(name), text, strlen(text)));
}

const char *with_port(const char *format, uint16_t port)
{
    static char texts[4][256];
    static int next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0], format, (unsigned)port);
    return text;
}

cmws_handle_t dial(const char *address, const cmws_options_t *options)
{
    cmws_handle_t connection;
    CHECK_OK(cmws_mailbox_connect(loop.mailbox, address, strlen(address), NULL, 0, options,
                                  &connection));
    return connection;
}

struct seen fails(cmws_handle_t connection, cmws_status_t status)
{
    struct seen closed = loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
    if (closed.status != status)
        FAIL("status %d, not %d: %s", (int)closed.status, (int)status, closed.text);
    return closed;
}

void write_text(int fd, const char *text)
{
    raw_write(fd, text, strlen(text));
}

void read_exactly(int fd, void *data, size_t length)
{
    CHECK_INT(recv(fd, data, length, MSG_WAITALL), length);
}

void serve_and_talk(int fd, cmws_handle_t connection)
{
    struct frame frame;
    raw_serve_handshake(fd, head, sizeof head);
    loop_wait(&loop, CMWS_EVENT_OPEN, connection);
    CHECK_OK(send_text(connection, "up"));
    CHECK(raw_read(fd, &frame));
    CHECK_TEXT(frame.payload, "up");
    raw_send(fd, OP_TEXT, false, "down", 4);
    CHECK_RECEIVES(&loop, connection, "down");
}
