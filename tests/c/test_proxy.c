/* Connecting through proxies: HTTP CONNECT and SOCKS5, from an option and from the environment. */
#include "dial.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* Takes a client as an HTTP proxy that finds everything. */
static int accept_connect(int listener, const char *target)
{
    char line[128];
    int fd = raw_accept(listener);
    raw_read_head(fd, head, sizeof head);
    snprintf(line, sizeof line, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", target, target);
    CHECK_SAYS(head, line);
    write_text(fd, "HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n");
    return fd;
}

static void clear_environment(void)
{
    static const char *const names[] = {"ws_proxy",    "WS_PROXY",  "wss_proxy", "WSS_PROXY",
                                        "http_proxy",  "HTTP_PROXY", "https_proxy",
                                        "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy",
                                        "NO_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
}

TEST(S6_through_an_http_proxy)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    cmws_options_t options = options_default();
    cmws_handle_t connection;
    loop_open(&loop);
    set_text(&options, "proxy", with_port("http://user:pass%%20word@127.0.0.1:%u", port));
    connection = dial("ws://example.test/p?q", &options);
    fd = accept_connect(listener, "example.test:80");
    CHECK_SAYS(head, "\r\nProxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=\r\n");
    serve_and_talk(fd, connection);
    CHECK_SAYS(head, "GET /p?q HTTP/1.1\r\nHost: example.test\r\n");
    CHECK(strcasestr(head, "proxy-authorization") == NULL);
    cmws_options_clear(&options);
}

TEST(S6_a_proxy_that_refuses_is_told_as_such)
{
    static const struct {
        const char *answer;
        cmws_status_t status;
        int http_status;
    } answers[] = {
        {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
         CMWS_STATUS_HTTP, 407},
        {"HTTP/1.1 502 Bad Gateway\r\n\r\n", CMWS_STATUS_HTTP, 502},
        {"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching", CMWS_STATUS_HANDSHAKE, 0},
        {"SSH-2.0-OpenSSH\r\n\r\n", CMWS_STATUS_HANDSHAKE, 0},
        {"", CMWS_STATUS_TCP, 0}};
    uint16_t port;
    int listener = raw_listen(&port), fd;
    cmws_options_t options = options_default();
    struct seen closed;
    loop_open(&loop);
    set_text(&options, "proxy", with_port("http://user:secret@127.0.0.1:%u", port));
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        cmws_handle_t connection = dial("ws://example.test/", &options);
        fd = raw_accept(listener);
        raw_read_head(fd, head, sizeof head);
        write_text(fd, answers[i].answer);
        shutdown(fd, SHUT_WR);
        closed = fails(connection, answers[i].status);
        CHECK_INT(closed.http_status, answers[i].http_status);
        CHECK_SAYS(closed.text, with_port("the proxy http://127.0.0.1:%u: ", port));
        CHECK(strstr(closed.text, "secret") == NULL);
        close(fd);
    }
    close(listener);
    closed = fails(dial("ws://example.test/", &options), CMWS_STATUS_TCP);
    CHECK_SAYS(closed.text, with_port("the proxy http://127.0.0.1:%u: connection refused", port));
    cmws_options_clear(&options);
}

TEST(S6_the_head_of_a_proxys_answer_is_bounded)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    cmws_options_t options = options_default();
    cmws_handle_t connection;
    loop_open(&loop);
    set_text(&options, "proxy", with_port("127.0.0.1:%u", port));
    connection = dial("ws://example.test/", &options);
    fd = raw_accept(listener);
    write_text(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 10000; i++)
        if (send(fd, "X-Long: 0123456789\r\n", 20, MSG_NOSIGNAL) < 0)
            break;
    fails(connection, CMWS_STATUS_HANDSHAKE);
    cmws_options_clear(&options);
}

TEST(S6_through_a_socks5_proxy_that_looks_up_names)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    cmws_options_t options = options_default();
    cmws_handle_t connection;
    unsigned char bytes[64];
    loop_open(&loop);
    set_text(&options, "proxy", with_port("socks5h://me:secret@127.0.0.1:%u", port));
    connection = dial("ws://example.test:8080/", &options);
    fd = raw_accept(listener);
    read_exactly(fd, bytes, 4);
    CHECK(memcmp(bytes, "\5\2\0\2", 4) == 0);
    raw_write(fd, "\5\2", 2);
    read_exactly(fd, bytes, 11);
    CHECK(memcmp(bytes, "\1\2me\6secret", 11) == 0);
    raw_write(fd, "\1\0", 2);
    read_exactly(fd, bytes, 19);
    CHECK(memcmp(bytes, "\5\1\0\3\14example.test\x1f\x90", 19) == 0);
    raw_write(fd, "\5\0\0\3\4name\0\0", 11);
    serve_and_talk(fd, connection);

    connection = dial("ws://example.test:8080/", &options);
    fd = raw_accept(listener);
    read_exactly(fd, bytes, 4);
    raw_write(fd, "\5\2", 2);
    read_exactly(fd, bytes, 11);
    raw_write(fd, "\1\1", 2);
    CHECK_SAYS(fails(connection, CMWS_STATUS_TCP).text, "refuses this user and password");
    cmws_options_clear(&options);
}

TEST(S6_through_a_socks5_proxy_that_gets_addresses)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    cmws_options_t options = options_default();
    cmws_handle_t connection;
    unsigned char bytes[64];
    loop_open(&loop);
    set_text(&options, "proxy", with_port("socks5://127.0.0.1:%u", port));
    /* The option counts for this machine as well. */
    connection = dial("ws://localhost:8080/", &options);
    fd = raw_accept(listener);
    read_exactly(fd, bytes, 3);
    CHECK(memcmp(bytes, "\5\1\0", 3) == 0);
    raw_write(fd, "\5\0", 2);
    read_exactly(fd, bytes, 4);
    if (bytes[3] == 1) {
        read_exactly(fd, bytes, 6);
        CHECK(memcmp(bytes, "\x7f\0\0\1\x1f\x90", 6) == 0);
    } else {
        CHECK_INT(bytes[3], 4);
        read_exactly(fd, bytes, 18);
        CHECK(memcmp(bytes, &in6addr_loopback, 16) == 0 && memcmp(bytes + 16, "\x1f\x90", 2) == 0);
    }
    raw_write(fd, "\5\0\0\1\0\0\0\0\0\0", 10);
    serve_and_talk(fd, connection);

    connection = dial("ws://127.0.0.1:8080/", &options);
    fd = raw_accept(listener);
    raw_write(fd, "\5\0\5\5\0\1\0\0\0\0\0\0", 12);
    CHECK_SAYS(fails(connection, CMWS_STATUS_TCP).text, "connection refused there");
    cmws_options_clear(&options);
}

TEST(S6_a_proxy_of_the_environment)
{
    uint16_t port, direct_port;
    int listener = raw_listen(&port), direct = raw_listen(&direct_port);
    cmws_options_t none = options_default();
    cmws_handle_t connection;
    const char *proxy = with_port("http://127.0.0.1:%u", port);
    loop_open(&loop);
    set_text(&none, "proxy", "none");
    clear_environment();

    setenv("http_proxy", proxy, 1);
    connection = dial("ws://no-such-host.invalid/", NULL);
    serve_and_talk(accept_connect(listener, "no-such-host.invalid:80"), connection);
    /* The option is stronger, and so is no_proxy; this machine goes without. */
    fails(dial("ws://no-such-host.invalid/", &none), CMWS_STATUS_DNS);
    connection = loop_connect(&loop, direct_port, NULL);
    serve_and_talk(raw_accept(direct), connection);
    setenv("no_proxy", "example.test, .invalid", 1);
    fails(dial("ws://no-such-host.invalid/", NULL), CMWS_STATUS_DNS);

    clear_environment();
    setenv("ALL_PROXY", proxy, 1);
    connection = dial("ws://no-such-host.invalid:81/", NULL);
    serve_and_talk(accept_connect(listener, "no-such-host.invalid:81"), connection);

    /* A CGI program's client could set this one. */
    clear_environment();
    setenv("HTTP_PROXY", proxy, 1);
    fails(dial("ws://no-such-host.invalid/", NULL), CMWS_STATUS_DNS);

    clear_environment();
    setenv("ws_proxy", "gopher://user:secret@127.0.0.1", 1);
    CHECK_STATUS(cmws_mailbox_connect(loop.mailbox, "ws://a.invalid/", 15, NULL, 0, NULL,
                                      &connection),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS(cmws_last_error_text(), "ws_proxy");
    CHECK(strstr(cmws_last_error_text(), "secret") == NULL);
    cmws_options_clear(&none);
}

TEST(S9_open_timeout_covers_a_proxy)
{
    uint16_t port;
    cmws_options_t options = options_default();
    raw_listen(&port);
    loop_open(&loop);
    options.open_timeout_ms = 300;
    set_text(&options, "proxy", with_port("http://127.0.0.1:%u", port));
    CHECK_SAYS(fails(dial("ws://example.test/", &options), CMWS_STATUS_TIMEOUT).text, "the proxy");
    cmws_options_clear(&options);
}
