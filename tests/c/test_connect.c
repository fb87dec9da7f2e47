/* Connecting: what works, and which step failed where it does not. */
#include "support.h"
#include "raw.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop loop;

static cmws_status_t try_connect(const char *address, const cmws_header_t *headers, size_t count,
                                 const cmws_options_t *options, cmws_handle_t *out)
{
    *out = 0;
    return cmws_mailbox_connect(loop.mailbox, address, strlen(address), headers, count, options,
                                out);
}

/* Connects to a raw server, which gets the request head. */
static cmws_handle_t connect_raw(int listener, uint16_t port, const char *format,
                                 const cmws_header_t *headers, size_t count, char *head,
                                 size_t capacity, int *out_fd)
{
    char address[256];
    cmws_handle_t connection;
    snprintf(address, sizeof address, format, (unsigned)port);
    CHECK_OK(try_connect(address, headers, count, NULL, &connection));
    *out_fd = raw_accept(listener);
    raw_serve_handshake(*out_fd, head, capacity);
    loop_wait(&loop, CMWS_EVENT_OPEN, connection);
    return connection;
}

static cmws_header_t header(const char *name, const char *value)
{
    cmws_header_t h = {name, strlen(name), value, strlen(value)};
    return h;
}

TEST(S6_one_open_event)
{
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    CHECK_INT(info_of(pair.client).state, CMWS_STATE_OPEN);
    loop_run(&pair.client_loop, 100);
    CHECK(!loop_take(&pair.client_loop, CMWS_EVENT_OPEN, 0, NULL));
    CHECK(!loop_take(&pair.client_loop, CMWS_EVENT_CLOSED, 0, NULL));
}

TEST(S6_refused)
{
    uint16_t port;
    int fd = raw_listen(&port);
    cmws_handle_t connection;
    struct seen closed;
    close(fd);
    loop_open(&loop);
    connection = loop_connect(&loop, port, NULL);
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
    CHECK_STATUS(closed.status, CMWS_STATUS_TCP);
    CHECK_SAYS(closed.text, "connect to ws://127.0.0.1:");
    CHECK_SAYS(closed.text, "refused");
    CHECK_STATUS(send_text(connection, "x"), CMWS_STATUS_CLOSED);
    loop_run(&loop, 100);
    CHECK(!loop_take(&loop, CMWS_EVENT_CLOSED, 0, NULL));
    cmws_connection_free(connection);
}

TEST(S6_a_name_that_does_not_exist)
{
    cmws_handle_t connection;
    struct seen closed;
    loop_open(&loop);
    CHECK_OK(try_connect("ws://no-such-host.invalid/", NULL, 0, NULL, &connection));
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
    CHECK_STATUS(closed.status, CMWS_STATUS_DNS);
    CHECK_SAYS(closed.text, "no-such-host.invalid");
}

TEST(S6_another_http_status)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    char head[4096];
    const char *answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    struct seen closed;
    loop_open(&loop);
    loop_connect(&loop, port, NULL);
    fd = raw_accept(listener);
    raw_read_head(fd, head, sizeof head);
    raw_write(fd, answer, strlen(answer));
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, 0);
    CHECK_STATUS(closed.status, CMWS_STATUS_HTTP);
    CHECK_INT(closed.http_status, 404);
    CHECK_SAYS(closed.text, "404");
}

TEST(S6_a_handshake_that_is_none)
{
    static const char *const answers[] = {
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n\r\n", ""};
    uint16_t port;
    int listener = raw_listen(&port);
    loop_open(&loop);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        char head[4096];
        struct seen closed;
        cmws_handle_t connection = loop_connect(&loop, port, NULL);
        int fd = raw_accept(listener);
        raw_read_head(fd, head, sizeof head);
        raw_write(fd, answers[i], strlen(answers[i]));
        shutdown(fd, SHUT_WR);
        closed = loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
        CHECK_STATUS(closed.status, CMWS_STATUS_HANDSHAKE);
        CHECK_INT(closed.close_code, 1006);
        CHECK_SAYS(closed.text, "connect to ws://127.0.0.1:");
        close(fd);
    }
}

TEST(S7_addresses_that_are_none)
{
    static const char *const addresses[] = {
        "", "foo", "ws:", "ws://", "ws:///path", "ws://:80/", "http://127.0.0.1/",
        "ws//127.0.0.1", "ws://127.0.0.1:port/", "ws://127.0.0.1:65536/", "ws://127.0.0.1:-1/",
        "ws://[::1/", "ws://[zz]/", "ws://a b/", "ws://127.0.0.1/a b", "ws://127.0.0.1/\r\nX: y",
        "ws://127.0.0.1/\xff\xfe"};
    cmws_handle_t connection;
    loop_open(&loop);
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        if (try_connect(addresses[i], NULL, 0, NULL, &connection) != CMWS_STATUS_INVALID_ADDRESS)
            FAIL("\"%s\" is not told to be a bad address", addresses[i]);
        CHECK_SAYS(cmws_last_error_text(), "connect to");
        CHECK_INT(connection, 0);
    }
    CHECK_STATUS(cmws_mailbox_connect(loop.mailbox, "ws://127.0.0.1/\0x", 17, NULL, 0, NULL,
                                      &connection),
                 CMWS_STATUS_INVALID_ADDRESS);
    CHECK_INT(count_threads(NULL), 1); /* before any network activity */
}

TEST(S7_wss_where_there_is_no_tls)
{
    struct loop server_loop;
    cmws_handle_t listener, connection;
    struct seen closed;
    char address[64];
    loop_open(&loop);
    loop_open(&server_loop);
    listener = loop_listen(&server_loop, NULL);
    snprintf(address, sizeof address, "wss://127.0.0.1:%u/", listener_port(listener));
    CHECK_OK(try_connect(address, NULL, 0, NULL, &connection));
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
    CHECK_STATUS(closed.status, CMWS_STATUS_TLS);
    CHECK_SAYS(closed.text, "plain HTTP");
    CHECK_STATUS(cmws_listener_reload(listener), CMWS_STATUS_INVALID_ARGUMENT);
    cmws_listener_free(listener);
    CHECK_STATUS(cmws_listener_reload(listener), CMWS_STATUS_INVALID_HANDLE);
}

TEST(S7_tls_files_are_looked_at_before_any_network_activity)
{
    static const char *const options[] = {"certificate_file", "ca_files"};
    cmws_handle_t connection;
    loop_open(&loop);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        cmws_options_t set = options_default();
        CHECK_OK(cmws_options_set_text(&set, options[i], strlen(options[i]), "/no/such.pem", 12));
        CHECK_STATUS(try_connect("wss://127.0.0.1/", NULL, 0, &set, &connection),
                     CMWS_STATUS_INVALID_ARGUMENT);
        CHECK_SAYS(cmws_last_error_text(), "/no/such.pem");
        CHECK_SAYS(cmws_last_error_text(), options[i]);
        CHECK_OK(try_connect("ws://127.0.0.1:9/", NULL, 0, &set, &connection));
        cmws_connection_free(connection);
        cmws_options_clear(&set);
    }
}

TEST(S7_names_and_default_path)
{
    struct loop server_loop;
    cmws_handle_t listener, connection, server;
    char address[64];
    loop_open(&loop);
    loop_open(&server_loop);
    listener = loop_listen(&server_loop, NULL);
    snprintf(address, sizeof address, "ws://localhost:%u", listener_port(listener));
    CHECK_OK(try_connect(address, NULL, 0, NULL, &connection));
    server = loop_accept(&server_loop, listener);
    loop_wait(&loop, CMWS_EVENT_OPEN, connection);
    CHECK_INT(info_of(server).path_length, 1);
    CHECK_INT(info_of(server).path[0], '/');
    CHECK_INT(info_of(server).query_length, 0);
}

TEST(S7_ipv6)
{
    struct sockaddr_in6 any = {0};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    cmws_handle_t listener, connection;
    bool has_ipv6;
    any.sin6_family = AF_INET6;
    any.sin6_addr = in6addr_loopback;
    has_ipv6 = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0;
    loop_open(&loop);
    if (!has_ipv6) { /* a machine without IPv6 gets a clear error */
        CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, "::1", 3, 0, NULL, &listener),
                     CMWS_STATUS_LISTEN);
        CHECK_OK(try_connect("ws://[::1]:9/", NULL, 0, NULL, &connection));
        CHECK_STATUS(loop_wait(&loop, CMWS_EVENT_CLOSED, connection).status, CMWS_STATUS_TCP);
        return;
    }
    CHECK_OK(cmws_mailbox_listen(loop.mailbox, "::1", 3, 0, NULL, &listener));
    {
        char address[64];
        cmws_address_t bound;
        CHECK_OK(cmws_listener_address(listener, sizeof bound, &bound));
        CHECK_TEXT(bound.host, "::1");
        snprintf(address, sizeof address, "ws://[::1]:%u/six", bound.port);
        CHECK_OK(try_connect(address, NULL, 0, NULL, &connection));
        loop_wait(&loop, CMWS_EVENT_OPEN, connection);
    }
}

TEST(S7_user_and_password_become_basic_authorization)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    char head[4096];
    loop_open(&loop);
    connect_raw(listener, port, "ws://user:pass%%20word@127.0.0.1:%u/p?q=1", NULL, 0, head,
                sizeof head, &fd);
    CHECK(strncmp(head, "GET /p?q=1 HTTP/1.1\r\n", 21) == 0);
    CHECK(strcasestr(head, "\r\nauthorization: Basic dXNlcjpwYXNzIHdvcmQ=\r\n") != NULL);
    CHECK(strstr(head, "user:pass") == NULL);
}

TEST(S8_headers_arrive_each_as_often_as_given)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    char head[4096];
    const cmws_header_t headers[] = {header("X-One", "1"), header("X-List", "a"),
                                     header("X-List", "b"), header("X-Empty", ""),
                                     header("Host", "example.test")};
    const char *at;
    int count = 0;
    loop_open(&loop);
    connect_raw(listener, port, "ws://127.0.0.1:%u/", headers, 5, head, sizeof head, &fd);
    CHECK(strcasestr(head, "\r\nx-one: 1\r\n") != NULL);
    CHECK(strcasestr(head, "\r\nx-list: a\r\n") < strcasestr(head, "\r\nx-list: b\r\n"));
    CHECK(strcasestr(head, "\r\nx-empty:") != NULL);
    CHECK(strcasestr(head, "\r\nhost: example.test\r\n") != NULL);
    for (at = head; (at = strcasestr(at, "\r\nhost:")) != NULL; at++)
        count++;
    CHECK_INT(count, 1);
}

TEST(S8_a_subprotocol_may_be_given)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    char head[4096];
    const cmws_header_t headers[] = {header("Sec-WebSocket-Protocol", "chat")};
    cmws_handle_t connection;
    cmws_connection_info_t info;
    loop_open(&loop);
    connection =
        connect_raw(listener, port, "ws://127.0.0.1:%u/", headers, 1, head, sizeof head, &fd);
    info = info_of(connection);
    CHECK_INT(info.subprotocol_length, 4);
    CHECK(memcmp(info.subprotocol, "chat", 4) == 0);
}

TEST(S8_headers_that_may_not_be_given)
{
    const cmws_header_t headers[] = {header("Connection", "close"),
                                     header("upgrade", "h2c"),
                                     header("Sec-WebSocket-Key", "x"),
                                     header("sec-websocket-version", "8"),
                                     header("Sec-WebSocket-Extensions", "permessage-deflate"),
                                     header("Sec-WebSocket-Accept", "x"),
                                     header("X-Break", "a\r\nX-Evil: b"),
                                     header("X-Line", "a\nb"),
                                     header("X-Na\nme", "a"),
                                     header("X Name", "a"),
                                     header("X:Name", "a"),
                                     header("", "a"),
                                     {"X-Nul", 5, "a\0b", 3},
                                     {"X-\0ul", 5, "a", 1}};
    cmws_handle_t connection;
    loop_open(&loop);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        if (try_connect("ws://127.0.0.1:9/", &headers[i], 1, NULL, &connection) !=
            CMWS_STATUS_INVALID_HEADER)
            FAIL("header %zu (%s) is accepted", i, headers[i].name);
        CHECK_INT(connection, 0);
    }
    CHECK_INT(count_threads(NULL), 1);
}

TEST(S9_open_timeout_while_the_server_is_silent)
{
    uint16_t port;
    cmws_options_t options = options_default();
    struct seen closed;
    int64_t start = now_ms();
    raw_listen(&port);
    loop_open(&loop);
    options.open_timeout_ms = 300;
    loop_connect(&loop, port, &options);
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, 0);
    CHECK_STATUS(closed.status, CMWS_STATUS_TIMEOUT);
    CHECK_SAYS(closed.text, "connect to ws://127.0.0.1:");
    CHECK(now_ms() - start >= 290);
    CHECK(now_ms() - start < 8000);
}

TEST(S9_open_timeout_bounds_a_handshake_that_trickles)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    cmws_options_t options = options_default();
    int64_t start = now_ms();
    loop_open(&loop);
    options.open_timeout_ms = 500;
    loop_connect(&loop, port, &options);
    fd = raw_accept(listener);
    raw_write(fd, "HTTP/1.1 101 Switching Protocols\r\n", 34);
    while (!loop_take(&loop, CMWS_EVENT_CLOSED, 0, NULL)) {
        send(fd, "X-Slow: 1\r\n", 11, MSG_NOSIGNAL);
        loop_poll(&loop, 50);
        CHECK(now_ms() - start < 8000);
    }
}

TEST(S9_open_timeout_covers_tcp)
{
    /* A backlog that is full: the kernel drops further attempts. */
    uint16_t port;
    int listener = raw_listen(&port);
    cmws_options_t options = options_default();
    struct sockaddr_in address = {0};
    struct seen closed;
    CHECK(listen(listener, 0) == 0);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 8; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fd, (struct sockaddr *)&address, sizeof address);
    }
    sleep_ms(100);
    loop_open(&loop);
    options.open_timeout_ms = 400;
    loop_connect(&loop, port, &options);
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, 0);
    CHECK_STATUS(closed.status, CMWS_STATUS_TIMEOUT);
}

TEST(S6_a_connect_can_be_cancelled)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    char byte;
    cmws_handle_t connection;
    loop_open(&loop);
    connection = loop_connect(&loop, port, NULL);
    fd = raw_accept(listener);
    CHECK_INT(info_of(connection).state, CMWS_STATE_CONNECTING);
    cmws_connection_free(connection);
    while (recv(fd, &byte, 1, 0) == 1) /* the request, then the end */
        ;
    loop_run(&loop, 100);
    CHECK_INT(loop.count, 0);
}
