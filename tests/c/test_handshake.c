/* A server's side of the opening handshake: what it says to every kind of request. */
#include "raw.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" KEY
#define ASK "GET / HTTP/1.1\r\nHost: a\r\n" UPGRADE

static struct loop loop;
static char answer[8192];

static void set_text(cmws_options_t *options, const char *name, const char *text)
{
    CHECK_OK(cmws_options_set_text(options, name, strlen(name), text, strlen(text)));
}

static uint16_t serve(const cmws_options_t *options, cmws_handle_t *out_listener)
{
    loop_open(&loop);
    *out_listener = loop_listen(&loop, options);
    return listener_port(*out_listener);
}

static const char *body_of(const char *text)
{
    const char *end = strstr(text, "\r\n\r\n");
    CHECK(end != NULL);
    return end + 4;
}

/* Sends a request; the whole answer goes to `answer`, and the server closes behind it. */
static void ask(uint16_t port, const char *request, size_t length, int status)
{
    char expected[32];
    int fd = raw_connect(port);
    raw_write(fd, request, length);
    raw_read_all(fd, answer, sizeof answer);
    close(fd);
    snprintf(expected, sizeof expected, "HTTP/1.1 %d ", status);
    if (strncmp(answer, expected, strlen(expected)) != 0)
        FAIL("\"%s\" is answered with \"%.60s\", not %d", request, answer, status);
    CHECK_SAYS(answer, "\r\nConnection: close");
    CHECK_SAYS(answer, "\r\nContent-Length: ");
}

/* The same for a request that is a text, with an answer that says so. */
static void refused(uint16_t port, const char *request, int status, const char *says)
{
    char length[64];
    ask(port, request, strlen(request), status);
    CHECK_SAYS(answer, says);
    if (strncmp(request, "HEAD", 4) == 0) {
        CHECK_TEXT(body_of(answer), "");
    } else {
        snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", strlen(body_of(answer)));
        CHECK_SAYS(answer, length);
    }
}

/* Sends a request that is upgraded; the head of the answer goes to `answer`. */
static int upgraded(uint16_t port, const char *request, size_t length)
{
    int fd = raw_connect(port);
    raw_write(fd, request, length);
    raw_read_head(fd, answer, sizeof answer);
    CHECK_SAYS(answer, "HTTP/1.1 101 ");
    CHECK_SAYS(answer, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    return fd;
}

TEST(S13_a_bad_request_is_told_what_is_wrong)
{
    cmws_handle_t listener, none;
    size_t count;
    uint16_t port = serve(NULL, &listener);
    refused(port, "nonsense\r\n\r\n", 400, "HTTP");
    refused(port, "GET /\r\n\r\n", 400, "HTTP");
    refused(port, "GET / HTTP/1.0\r\nHost: a\r\n" UPGRADE "\r\n", 400, "HTTP/1.1");
    refused(port, "GET * HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n", 400, "target");
    refused(port, "GET a:80 HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n", 400, "target");
    refused(port, "GET / HTTP/1.1\r\n" UPGRADE "\r\n", 400, "Host");
    refused(port, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n" UPGRADE "\r\n", 400, "Host");
    refused(port, "GET / HTTP/1.1\r\nHost: a\r\n" UPGRADE KEY "\r\n", 400, "Sec-WebSocket-Key");
    refused(port,
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=\r\n\r\n",
            400, "Sec-WebSocket-Key");
    refused(port, ASK "A: b\r\n c\r\n\r\n", 400, "HTTP");
    refused(port, ASK "A : b\r\n\r\n", 400, "HTTP");
    refused(port, ASK "A: b\rc\r\n\r\n", 400, "HTTP");
    refused(port, ASK "A: b\n\r\n", 400, "CR LF");
    refused(port, "GET / HTTP/1.1\nHost: a\n\n", 400, "CR LF");
    refused(port, ASK "Content-Length: 3\r\n\r\nabc", 400, "body");
    refused(port, ASK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "body");
    refused(port, ASK "Sec-WebSocket-Protocol: a b\r\n\r\n", 400, "Sec-WebSocket-Protocol");
    ask(port, ASK "A: \0b\r\n\r\n", strlen(ASK) + 10, 400);
    CHECK_OK(cmws_listener_accept(listener, &none, 1, &count));
    CHECK_INT(count, 0);
}

TEST(S13_what_is_no_websocket_request_is_told_so)
{
    cmws_handle_t listener;
    uint16_t port = serve(NULL, &listener);
    refused(port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 405,
            "\r\nAllow: GET\r\n");
    refused(port, "HEAD / HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n", 405, "\r\nAllow: GET\r\n");
    refused(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426, "\r\nUpgrade: websocket\r\n");
    CHECK_SAYS(answer, "\r\nSec-WebSocket-Version: 13\r\n");
    CHECK_SAYS(answer, "\r\nConnection: close, Upgrade\r\n");
    refused(port,
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 8\r\n" KEY "\r\n",
            426, "\r\nSec-WebSocket-Version: 13\r\n");
    CHECK_SAYS(answer, "\r\nUpgrade: websocket\r\n");
}

TEST(S13_paths_origins_and_health)
{
    cmws_handle_t listener;
    cmws_options_t options = options_default();
    uint16_t port;
    set_text(&options, "path", "/chat");
    set_text(&options, "health_path", "/health");
    set_text(&options, "origins", "https://Example.com:443");
    port = serve(&options, &listener);
    cmws_options_clear(&options);
    refused(port, ASK "\r\n", 404, "nothing");
    refused(port, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 404, "Content-Length");
    refused(port, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 200, "\r\n\r\nok\n");
    refused(port, "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n", 200, "\r\nContent-Length: 3\r\n");
    refused(port, "GET /health HTTP/1.0\r\n\r\n", 200, "ok");
    refused(port, "POST /health HTTP/1.1\r\nHost: a\r\n\r\n", 405, "\r\nAllow: GET, HEAD\r\n");
    refused(port,
            "GET /chat HTTP/1.1\r\nHost: a\r\nOrigin: https://example.com:444\r\n" UPGRADE "\r\n",
            403, "origin");
    for (int i = 0; i < 2; i++) {
        const char *good[] = {"GET /chat?x HTTP/1.1\r\nHost: a\r\n" UPGRADE "\r\n",
                              "GET /chat HTTP/1.1\r\nHost: a\r\nOrigin: https://example.com\r\n"
                              UPGRADE "\r\n"};
        upgraded(port, good[i], strlen(good[i]));
        loop_accept(&loop, listener);
    }
}

TEST(S13_the_server_prefers_a_subprotocol_and_adds_headers)
{
    cmws_handle_t listener, server;
    cmws_connection_info_t info;
    cmws_options_t options = options_default();
    const char *both = ASK "Sec-WebSocket-Protocol: one\r\nSec-WebSocket-Protocol: x, two\r\n\r\n";
    const char *other = ASK "Sec-WebSocket-Protocol: x\r\n\r\n";
    uint16_t port;
    set_text(&options, "subprotocols", "two");
    set_text(&options, "subprotocols", "one");
    set_text(&options, "response_headers", "Server: caf\xc3\xa9 \xff");
    set_text(&options, "response_headers", "Set-Cookie: a=1");
    set_text(&options, "response_headers", "Set-Cookie: b=2");
    port = serve(&options, &listener);
    cmws_options_clear(&options);
    upgraded(port, both, strlen(both));
    CHECK_SAYS(answer, "\r\nSec-WebSocket-Protocol: two\r\n");
    CHECK_SAYS(answer, "\r\nServer: caf\xc3\xa9 \xff\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n");
    server = loop_accept(&loop, listener);
    info = info_of(server);
    CHECK_INT(info.subprotocol_length, 3);
    CHECK(memcmp(info.subprotocol, "two", 3) == 0);
    upgraded(port, other, strlen(other));
    CHECK(strstr(answer, "Sec-WebSocket-Protocol") == NULL);
    CHECK_INT(info_of(loop_accept(&loop, listener)).subprotocol_length, 0);
}

TEST(S10_wishes_that_make_no_sense_are_told_by_listen)
{
    static const struct {
        const char *name, *value;
        cmws_status_t status;
    } bad[] = {{"response_headers", "Upgrade: h2c", CMWS_STATUS_INVALID_HEADER},
               {"response_headers", "A: b\r\nC: d", CMWS_STATUS_INVALID_HEADER},
               {"response_headers", "no colon", CMWS_STATUS_INVALID_HEADER},
               {"subprotocols", "a, b", CMWS_STATUS_INVALID_ARGUMENT},
               {"origins", "example.com", CMWS_STATUS_INVALID_ARGUMENT},
               {"path", "chat", CMWS_STATUS_INVALID_ARGUMENT},
               {"health_path", "/a?b", CMWS_STATUS_INVALID_ARGUMENT}};
    loop_open(&loop);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cmws_handle_t listener;
        cmws_options_t options = options_default();
        set_text(&options, bad[i].name, bad[i].value);
        CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, "127.0.0.1", 9, 0, &options, &listener),
                     bad[i].status);
        CHECK_SAYS(cmws_last_error_text(), bad[i].name);
        cmws_options_clear(&options);
    }
}

TEST(S13_any_bytes_in_header_values_are_kept)
{
    static char request[1024];
    unsigned char every[256];
    size_t length, count = 0;
    cmws_handle_t listener, server;
    cmws_header_t header;
    uint16_t port = serve(NULL, &listener);
    for (int byte = 0x21; byte < 256; byte++)
        if (byte != 0x7f)
            every[count++] = (unsigned char)byte;
    length = (size_t)snprintf(request, sizeof request, ASK "Origin: \xe4\r\nX-Bytes:  ");
    memcpy(request + length, every, count);
    memcpy(request + length + count, "\t\r\n\r\n", 5);
    upgraded(port, request, length + count + 5);
    server = loop_accept(&loop, listener);
    CHECK_INT(info_of(server).header_count, 7);
    CHECK_OK(cmws_connection_header(server, 6, sizeof header, &header));
    CHECK_INT(header.value_length, count);
    CHECK(memcmp(header.value, every, count) == 0);
    CHECK(memcmp(header.name, "X-Bytes", 7) == 0);
}

TEST(S11_bytes_behind_the_head_are_the_first_frames)
{
    static char request[4096];
    char text[1500];
    cmws_handle_t listener, server;
    size_t length = strlen(ASK "\r\n");
    uint16_t port = serve(NULL, &listener);
    int fd;
    memset(text, 'x', sizeof text);
    memcpy(request, ASK "\r\n", length);
    for (int i = 0; i < 2; i++) { /* a small frame and one larger than what is read at once */
        size_t size = i == 0 ? 5 : sizeof text;
        request[length++] = (char)0x81;
        request[length++] = (char)(0x80 | (size < 126 ? size : 126));
        if (size >= 126) {
            request[length++] = (char)(size >> 8);
            request[length++] = (char)size;
        }
        memset(request + length, 0, 4);
        memcpy(request + length + 4, i == 0 ? "first" : text, size);
        length += 4 + size;
    }
    fd = upgraded(port, request, length);
    raw_send(fd, OP_TEXT, true, "later", 5);
    server = loop_accept(&loop, listener);
    CHECK_RECEIVES(&loop, server, "first");
    text[sizeof text - 1] = '\0';
    {
        cmws_message_t message;
        CHECK(next_message(&loop, server, &message));
        CHECK_INT(message.length, sizeof text);
        release(&message);
    }
    CHECK_RECEIVES(&loop, server, "later");
}

TEST(S13_compression_is_agreed_on_where_it_is_wanted)
{
    /* "Hello" compressed (RFC 7692, 7.2.3.1), with a mask of zeros. */
    static const unsigned char hello[] = {0xc1, 0x87, 0, 0, 0, 0, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 7, 0};
    const char *offer = ASK "Sec-WebSocket-Extensions: x-other\r\n"
                            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    cmws_handle_t listener;
    cmws_options_t options = options_default();
    uint16_t port = serve(NULL, &listener);
    int fd;
    upgraded(port, offer, strlen(offer));
    CHECK(strstr(answer, "Sec-WebSocket-Extensions") == NULL);
    CHECK_OK(cmws_options_set(&options, "compression", 11, 1));
    port = serve(&options, &listener);
    cmws_options_clear(&options);
    fd = upgraded(port, offer, strlen(offer));
    CHECK_SAYS(answer, "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover");
    raw_write(fd, hello, sizeof hello);
    CHECK_RECEIVES(&loop, loop_accept(&loop, listener), "Hello");
    upgraded(port, ASK "\r\n", strlen(ASK "\r\n"));
    CHECK(strstr(answer, "Sec-WebSocket-Extensions") == NULL);
    refused(port, ASK "Sec-WebSocket-Extensions: a=;\xe4\r\n\r\n", 400, "Sec-WebSocket-Extensions");
}

TEST(S9_a_slow_head_has_one_deadline)
{
    cmws_handle_t listener;
    cmws_options_t options = options_default();
    const char *request = ASK;
    int64_t end = now_ms() + PATIENCE;
    struct pollfd wait = {-1, POLLIN, 0};
    uint16_t port;
    options.open_timeout_ms = 400;
    port = serve(&options, &listener);
    wait.fd = raw_connect(port);
    /* It never falls silent for long, and would take far more than the time it has. */
    for (size_t i = 0; poll(&wait, 1, 20) == 0; i++) {
        CHECK(now_ms() < end);
        CHECK(i < strlen(request));
        raw_write(wait.fd, request + i, 1);
    }
    raw_read_all(wait.fd, answer, sizeof answer);
    CHECK_SAYS(answer, "HTTP/1.1 408 ");
    CHECK_SAYS(answer, "\r\nConnection: close\r\n");
}

TEST(S30_a_head_is_16_kib_at_most)
{
    static char line[1024];
    cmws_handle_t listener;
    uint16_t port = serve(NULL, &listener);
    int fd = raw_connect(port);
    memset(line, 'a', sizeof line);
    raw_write(fd, ASK "A: ", strlen(ASK "A: "));
    for (int i = 0; i < 16; i++)
        raw_write(fd, line, sizeof line);
    raw_read_all(fd, answer, sizeof answer);
    CHECK_SAYS(answer, "HTTP/1.1 431 ");
    close(fd);
    fd = raw_connect(port);
    raw_write(fd, ASK, strlen(ASK));
    for (int i = 0; i < 100; i++)
        raw_write(fd, "A: b\r\n", 6);
    raw_write(fd, "\r\n", 2);
    raw_read_all(fd, answer, sizeof answer);
    CHECK_SAYS(answer, "HTTP/1.1 431 ");
    CHECK_SAYS(answer, "100 header fields");
}

TEST(S30_heads_that_do_not_end_take_little_memory)
{
    enum { MANY = 100, SIZE = 16000 };
    static char line[SIZE];
    static int fds[MANY];
    cmws_handle_t listener;
    uint16_t port = serve(NULL, &listener);
    long before;
    memset(line, 'a', sizeof line);
    for (int i = 0; i < MANY; i++) {
        fds[i] = raw_connect(port);
        raw_write(fds[i], "GET /", 5);
    }
    sleep_ms(200);
    before = resident_kib();
    for (int i = 0; i < MANY; i++)
        raw_write(fds[i], line, sizeof line);
    sleep_ms(500);
    /* 16 KiB each, and what the allocator adds. */
    CHECK(resident_kib() - before < MANY * 24);
}

TEST(S30_ten_thousand_packets_of_one_byte_cost_little)
{
    enum { SIZE = 10000 };
    static char request[SIZE];
    struct rusage usage;
    size_t start = strlen(ASK "A: ");
    cmws_handle_t listener;
    uint16_t port = serve(NULL, &listener);
    int fd = raw_connect(port);
    memset(request, 'a', sizeof request);
    memcpy(request, ASK "A: ", start);
    memcpy(request + SIZE - 4, "\r\n\r\n", 4);
    for (int i = 0; i < SIZE; i++) {
        raw_write(fd, request + i, 1);
        if (i % 100 == 0)
            sleep_ms(1); /* so that the packets stay apart */
    }
    raw_read_head(fd, answer, sizeof answer);
    CHECK_SAYS(answer, " 101 ");
    getrusage(RUSAGE_SELF, &usage);
    CHECK(usage.ru_utime.tv_sec < 2);
}

TEST(S11_who_finds_no_place_in_time_is_told)
{
    enum { CLIENTS = 150 };
    static int fds[CLIENTS];
    cmws_handle_t listener;
    cmws_options_t options = options_default();
    int open = 0, busy = 0;
    uint16_t port;
    options.open_timeout_ms = 3000;
    port = serve(&options, &listener);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = raw_connect(port);
    sleep_ms(200);
    for (int i = 0; i < CLIENTS; i++)
        raw_write(fds[i], ASK "\r\n", strlen(ASK "\r\n"));
    for (int i = 0; i < CLIENTS; i++) {
        raw_read_head(fds[i], answer, sizeof answer);
        open += strstr(answer, " 101 ") != NULL;
        busy += strstr(answer, " 503 ") != NULL;
    }
    CHECK_INT(open, 128);
    CHECK_INT(busy, CLIENTS - 128);
}

TEST(S13_refused_clients_leave_nothing)
{
    cmws_handle_t listener;
    int64_t end = now_ms() + PATIENCE;
    uint16_t port = serve(NULL, &listener);
    int before;
    ask(port, "x\r\n\r\n", 5, 400);
    before = count_descriptors();
    for (int i = 0; i < 200; i++)
        ask(port, "x\r\n\r\n", 5, 400);
    while (count_descriptors() > before) {
        CHECK(now_ms() < end);
        sleep_ms(10);
    }
}
