#include "raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* SHA-1 of a short text (RFC 3174), for Sec-WebSocket-Accept. */
static void sha1(const char *text, unsigned char out[20])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char block[128] = {0};
    size_t length = strlen(text), total = length + 9 <= 64 ? 64 : 128;
    CHECK(length + 9 <= sizeof block);
    memcpy(block, text, length);
    block[length] = 0x80;
    block[total - 2] = (unsigned char)(length * 8 >> 8);
    block[total - 1] = (unsigned char)(length * 8);
    for (size_t at = 0; at < total; at += 64) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f, k, x;
            if (i < 16) {
                const unsigned char *p = block + at + i * 4;
                w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
            } else {
                x = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
                w[i] = x << 1 | x >> 31;
            }
            if (i < 20)
                f = (b & c) | (~b & d), k = 0x5a827999;
            else if (i < 40)
                f = b ^ c ^ d, k = 0x6ed9eba1;
            else if (i < 60)
                f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
            else
                f = b ^ c ^ d, k = 0xca62c1d6;
            x = (a << 5 | a >> 27) + f + e + k + w[i];
            e = d, d = c, c = b << 30 | b >> 2, b = a, a = x;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++)
        out[i] = (unsigned char)(h[i / 4] >> (24 - i % 4 * 8));
}

static void base64(const unsigned char *data, size_t length, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        uint32_t v = (uint32_t)data[i] << 16;
        v |= i + 1 < length ? (uint32_t)data[i + 1] << 8 : 0;
        v |= i + 2 < length ? data[i + 2] : 0;
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < length ? digits[v >> 6 & 63] : '=';
        *out++ = i + 2 < length ? digits[v & 63] : '=';
    }
    *out = '\0';
}

static void set_up(int fd)
{
    int on = 1;
    struct timeval patience = {PATIENCE / 1000, 0};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

int raw_listen(uint16_t *out_port)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0);
    set_up(fd);
    /* Another one may listen there right after it. */
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(fd, 16) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

int raw_accept(int listener)
{
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    set_up(fd);
    return fd;
}

int raw_connect(uint16_t port)
{
    struct sockaddr_in address = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0);
    set_up(fd);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

void raw_read_head(int fd, char *head, size_t capacity)
{
    size_t length = 0;
    while (length < 4 || memcmp(head + length - 4, "\r\n\r\n", 4) != 0) {
        CHECK(length + 1 < capacity);
        if (recv(fd, head + length, 1, 0) != 1)
            FAIL("the peer left before the end of its HTTP head");
        length++;
    }
    head[length] = '\0';
}

size_t raw_read_all(int fd, char *data, size_t capacity)
{
    size_t length = 0;
    for (;;) {
        ssize_t n = recv(fd, data + length, capacity - 1 - length, 0);
        if (n < 0)
            FAIL("read from a socket: %s", strerror(errno));
        length += (size_t)n;
        data[length] = '\0';
        if (n == 0)
            return length;
        CHECK(length + 1 < capacity);
    }
}

void raw_serve_handshake(int fd, char *head, size_t capacity)
{
    raw_serve_with(fd, head, capacity, "");
}

void raw_serve_with(int fd, char *head, size_t capacity, const char *lines)
{
    char text[128], accept[32], protocol[96] = "", answer[1024];
    unsigned char digest[20];
    const char *key, *offered;
    raw_read_head(fd, head, capacity);
    key = strcasestr(head, "\r\nsec-websocket-key:");
    CHECK(key != NULL);
    key += 20;
    key += strspn(key, " ");
    snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(text, digest);
    base64(digest, 20, accept);
    offered = strcasestr(head, "\r\nsec-websocket-protocol:");
    if (offered != NULL) {
        offered += 25 + strspn(offered + 25, " ");
        snprintf(protocol, sizeof protocol, "Sec-WebSocket-Protocol: %.*s\r\n",
                 (int)strcspn(offered, ",\r"), offered);
    }
    snprintf(answer, sizeof answer,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n%s%s\r\n",
             accept, protocol, lines);
    CHECK(strlen(answer) + 1 < sizeof answer);
    raw_write(fd, answer, strlen(answer));
}

int raw_serve(int listener)
{
    char head[4096];
    int fd = raw_accept(listener);
    raw_serve_handshake(fd, head, sizeof head);
    return fd;
}

int raw_open(uint16_t port)
{
    char head[4096];
    int fd = raw_connect(port);
    const char *request = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    raw_write(fd, request, strlen(request));
    raw_read_head(fd, head, sizeof head);
    CHECK_SAYS(head, " 101 ");
    return fd;
}

void raw_write(int fd, const void *data, size_t length)
{
    const char *at = data;
    while (length > 0) {
        ssize_t n = send(fd, at, length, MSG_NOSIGNAL);
        if (n <= 0)
            FAIL("write to a socket: %s", strerror(errno));
        at += n;
        length -= (size_t)n;
    }
}

void raw_send(int fd, int opcode, bool masked, const void *data, size_t length)
{
    static const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
    unsigned char *frame = malloc(length + 14);
    size_t at = 0;
    frame[at++] = (unsigned char)(0x80 | opcode);
    if (length < 126) {
        frame[at++] = (unsigned char)length;
    } else if (length < 65536) {
        frame[at++] = 126;
        frame[at++] = (unsigned char)(length >> 8);
        frame[at++] = (unsigned char)length;
    } else {
        frame[at++] = 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            frame[at++] = (unsigned char)((uint64_t)length >> shift);
    }
    if (masked) {
        frame[1] |= 0x80;
        memcpy(frame + at, mask, 4);
        at += 4;
    }
    for (size_t i = 0; i < length; i++)
        frame[at + i] = ((const unsigned char *)data)[i] ^ (masked ? mask[i % 4] : 0);
    raw_write(fd, frame, at + length);
    free(frame);
}

void raw_send_close(int fd, bool masked, unsigned code, const char *reason)
{
    char payload[128];
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    snprintf(payload + 2, sizeof payload - 2, "%s", reason);
    raw_send(fd, OP_CLOSE, masked, payload, 2 + strlen(reason));
}

static bool read_exactly(int fd, void *data, size_t length)
{
    char *at = data;
    while (length > 0) {
        ssize_t n = recv(fd, at, length, 0);
        if (n < 0 && errno == EAGAIN)
            FAIL("nothing came on a socket");
        if (n <= 0)
            return false;
        at += n;
        length -= (size_t)n;
    }
    return true;
}

bool raw_read(int fd, struct frame *out_frame)
{
    unsigned char head[8], mask[4];
    uint64_t length;
    if (!read_exactly(fd, head, 2))
        return false;
    out_frame->fin = head[0] & 0x80;
    out_frame->opcode = head[0] & 15;
    out_frame->masked = head[1] & 0x80;
    length = head[1] & 127;
    if (length >= 126) {
        int bytes = length == 126 ? 2 : 8;
        if (!read_exactly(fd, head, (size_t)bytes))
            return false;
        length = 0;
        for (int i = 0; i < bytes; i++)
            length = length << 8 | head[i];
    }
    CHECK(length < sizeof out_frame->payload);
    if (out_frame->masked && !read_exactly(fd, mask, 4))
        return false;
    if (!read_exactly(fd, out_frame->payload, (size_t)length))
        return false;
    for (size_t i = 0; out_frame->masked && i < length; i++)
        out_frame->payload[i] ^= (char)mask[i % 4];
    out_frame->payload[length] = '\0';
    out_frame->length = (size_t)length;
    out_frame->code = 0;
    if (out_frame->opcode == OP_CLOSE && length >= 2)
        out_frame->code = (unsigned)(unsigned char)out_frame->payload[0] << 8 |
                          (unsigned char)out_frame->payload[1];
    return true;
}

void raw_reset(int fd)
{
    struct linger linger = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}
