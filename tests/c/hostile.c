#include "hostile.h"

#include <time.h>
#include <unistd.h>

struct bits {
    unsigned char *out;
    size_t count;
};

static void put_bit(struct bits *bits, unsigned bit)
{
    if (bits->count % 8 == 0)
        bits->out[bits->count / 8] = 0;
    bits->out[bits->count / 8] |= (unsigned char)(bit << bits->count % 8);
    bits->count++;
}

/* Huffman codes begin with their highest bit. */
static void put_code(struct bits *bits, unsigned code, int length)
{
    while (length-- > 0)
        put_bit(bits, code >> length & 1);
}

static void put_literal(struct bits *bits, unsigned byte)
{
    put_code(bits, 0x30 + byte, 8);
}

size_t deflate_zeros(unsigned char *out, const unsigned char *head, size_t head_length,
                     size_t zeros)
{
    struct bits bits = {out, 0};
    put_bit(&bits, 0); /* not the final block */
    put_bit(&bits, 1);
    put_bit(&bits, 0); /* fixed codes */
    for (size_t i = 0; i < head_length; i++)
        put_literal(&bits, head[i]);
    if (zeros > 0) {
        put_literal(&bits, 0);
        zeros--;
    }
    for (; zeros >= 258; zeros -= 258) {
        put_code(&bits, 0xc5, 8); /* 258 bytes ... */
        put_code(&bits, 0, 5);    /* ... that repeat the last one */
    }
    for (; zeros > 0; zeros--)
        put_literal(&bits, 0);
    put_code(&bits, 0, 7); /* the end of the block */
    put_code(&bits, 0, 3); /* an empty stored block, whose lengths are left out */
    return (bits.count + 7) / 8;
}

size_t put_frame(unsigned char *out, int first, bool masked, const void *data, size_t length)
{
    size_t at = 2;
    int bytes = length < 126 ? 0 : length < 65536 ? 2 : 8;
    out[0] = (unsigned char)first;
    out[1] = (unsigned char)((masked ? 0x80 : 0) | (bytes == 0 ? (int)length : bytes == 2 ? 126 : 127));
    for (int i = bytes - 1; i >= 0; i--)
        out[at++] = (unsigned char)((uint64_t)length >> 8 * i);
    if (masked) {
        memset(out + at, 0, 4);
        at += 4;
    }
    if (length > 0)
        memcpy(out + at, data, length);
    return at + length;
}

int ask(uint16_t port, const char *lines)
{
    static const char start[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    int fd = raw_connect(port);
    raw_write(fd, start, sizeof start - 1);
    raw_write(fd, lines, strlen(lines));
    raw_write(fd, "\r\n", 2);
    return fd;
}

int open_with(uint16_t port, const char *lines)
{
    char head[8192];
    int fd = ask(port, lines);
    raw_read_head(fd, head, sizeof head);
    CHECK_SAYS(head, " 101 ");
    return fd;
}

int serve_with(int listener, const char *lines)
{
    char head[4096];
    int fd = raw_accept(listener);
    raw_serve_with(fd, head, sizeof head, lines);
    return fd;
}

cmws_handle_t dial_hostile(struct loop *loop, const cmws_options_t *options, const char *lines,
                           int *out_fd)
{
    uint16_t port;
    int listener = raw_listen(&port);
    cmws_handle_t client;
    loop_open(loop);
    client = loop_connect(loop, port, options);
    *out_fd = serve_with(listener, lines);
    loop_wait(loop, CMWS_EVENT_OPEN, client);
    close(listener);
    return client;
}

void set(cmws_options_t *options, const char *name, double value)
{
    CHECK_OK(cmws_options_set(options, name, strlen(name), value));
}

cmws_handle_t open_hostile(struct loop *loop, const cmws_options_t *options, const char *lines,
                           int *out_fd)
{
    cmws_handle_t listener;
    loop_open(loop);
    listener = loop_listen(loop, options);
    *out_fd = open_with(listener_port(listener), lines);
    return loop_accept(loop, listener);
}

unsigned code_of_close(int fd)
{
    static struct frame frame;
    while (raw_read(fd, &frame))
        if (frame.opcode == OP_CLOSE)
            return frame.code;
    FAIL("the stream ended without a close frame");
}

long cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (now.tv_sec * 1000 + now.tv_nsec / 1000000) / slowness();
}
