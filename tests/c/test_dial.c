/* The way to a server: addresses that are raced, proxies, redirects, Unix sockets. */
#include "support.h"
#include "raw.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static struct loop loop;
static char head[70000];

static void set_text(cmws_options_t *options, const char *name, const char *text)
{
    CHECK_OK(cmws_options_set_text(options, name, strlen(name), text, strlen(text)));
}

/* Formats a text with a port. */
static const char *with_port(const char *format, uint16_t port)
{
    static char texts[4][256];
    static int next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0], format, (unsigned)port);
    return text;
}

static cmws_handle_t dial(const char *address, const cmws_options_t *options)
{
    cmws_handle_t connection;
    CHECK_OK(cmws_mailbox_connect(loop.mailbox, address, strlen(address), NULL, 0, options,
                                  &connection));
    return connection;
}

static struct seen fails(cmws_handle_t connection, cmws_status_t status)
{
    struct seen closed = loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
    if (closed.status != status)
        FAIL("status %d, not %d: %s", (int)closed.status, (int)status, closed.text);
    return closed;
}

static void write_text(int fd, const char *text)
{
    raw_write(fd, text, strlen(text));
}

static void read_exactly(int fd, void *data, size_t length)
{
    CHECK_INT(recv(fd, data, length, MSG_WAITALL), length);
}

/* Shakes hands with the client behind a socket, and has a message go both ways. */
static void serve_and_talk(int fd, cmws_handle_t connection)
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

/* The library looks up names through this: `two.test` stands for 127.0.0.1 and 127.0.0.2. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    struct addrinfo *second;
    int status;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (strcmp(name, "two.test") != 0)
        return real(name, service, hints, out);
    status = real("127.0.0.1", service, hints, out);
    if (status == 0 && real("127.0.0.2", service, hints, &second) == 0)
        (*out)->ai_next = second;
    return status;
}

static int listen_on(const char *ip, uint16_t port, int queue)
{
    struct sockaddr_in address = {0};
    struct timeval patience = {PATIENCE / 1000, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    CHECK(inet_pton(AF_INET, ip, &address.sin_addr) == 1);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, queue) == 0);
    return fd;
}

TEST(S6_the_next_address_is_tried_while_one_stalls)
{
    uint16_t port;
    int first = raw_listen(&port), second = listen_on("127.0.0.2", port, 16);
    cmws_handle_t connection;
    /* A queue that is full: the system drops further attempts. */
    CHECK(listen(first, 0) == 0);
    for (int i = 0; i < 8; i++) {
        struct sockaddr_in address = {0};
        int filler = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connect(filler, (struct sockaddr *)&address, sizeof address);
    }
    sleep_ms(100);
    loop_open(&loop);
    connection = dial(with_port("ws://two.test:%u/", port), NULL);
    serve_and_talk(raw_accept(second), connection);
}

TEST(S6_every_address_of_a_name_is_tried)
{
    uint16_t port;
    int first = raw_listen(&port), second = listen_on("127.0.0.2", port, 16);
    const char *address = with_port("ws://two.test:%u/", port);
    cmws_handle_t connection;
    loop_open(&loop);
    close(first);
    connection = dial(address, NULL);
    serve_and_talk(raw_accept(second), connection);
    close(second);
    CHECK_SAYS(fails(dial(address, NULL), CMWS_STATUS_TCP).text, "connection refused (127.0.0.");
}

TEST(S6_interim_answers_are_passed_over_and_bounded)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    cmws_handle_t connection;
    loop_open(&loop);
    connection = loop_connect(&loop, port, NULL);
    fd = raw_accept(listener);
    write_text(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
                   "Link: </style.css>\r\nLink: </script.js>\r\n\r\n");
    serve_and_talk(fd, connection);

    connection = loop_connect(&loop, port, NULL);
    fd = raw_accept(listener);
    raw_read_head(fd, head, sizeof head);
    for (int i = 0; i < 1000; i++)
        if (send(fd, "HTTP/1.1 102 Wait\r\n\r\n", 21, MSG_NOSIGNAL) < 0)
            break;
    fails(connection, CMWS_STATUS_HANDSHAKE);
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

/* Answers the next request with a redirect. */
static void redirect(int listener, const char *status, const char *location)
{
    char answer[512];
    int fd = raw_accept(listener);
    raw_read_head(fd, head, sizeof head);
    snprintf(answer, sizeof answer,
             "HTTP/1.1 %s\r\nLocation: %s\r\nContent-Length: 5\r\n\r\nthere", status, location);
    write_text(fd, answer);
    close(fd);
}

TEST(S7_a_redirect_is_told_and_not_followed)
{
    uint16_t port;
    int listener = raw_listen(&port);
    cmws_handle_t connection;
    struct seen closed;
    loop_open(&loop);
    connection = loop_connect(&loop, port, NULL);
    redirect(listener, "302 Found", "ws://user:secret@elsewhere.test/a");
    closed = fails(connection, CMWS_STATUS_HTTP);
    CHECK_INT(closed.http_status, 302);
    CHECK_SAYS(closed.text, "302 Found");
    CHECK_SAYS(closed.text, "ws://elsewhere.test/a");
    CHECK(strstr(closed.text, "secret") == NULL);
}

TEST(S7_redirects_are_followed_when_asked_for)
{
    uint16_t port, other_port;
    int listener = raw_listen(&port), other = raw_listen(&other_port);
    cmws_options_t options = options_default();
    const cmws_header_t headers[] = {{"Cookie", 6, "a=b", 3}, {"X-Any", 5, "c", 1}};
    const char *address = with_port("ws://user:secret@127.0.0.1:%u/a/b", port);
    cmws_handle_t connection;
    loop_open(&loop);
    CHECK_OK(cmws_options_set(&options, "max_redirects", 13, 5));
    CHECK_OK(cmws_mailbox_connect(loop.mailbox, address, strlen(address), headers, 2, &options,
                                  &connection));
    redirect(listener, "307 Temporary Redirect", "c?d");
    CHECK_SAYS(head, "GET /a/b HTTP/1.1\r\n");
    redirect(listener, "301 Moved Permanently", with_port("http://127.0.0.1:%u/e#f", port));
    CHECK_SAYS(head, "GET /a/c?d HTTP/1.1\r\n");
    redirect(listener, "308 Permanent Redirect", with_port("//127.0.0.1:%u/g", other_port));
    CHECK_SAYS(head, "GET /e HTTP/1.1\r\n");
    CHECK_SAYS(head, "\r\nAuthorization: Basic dXNlcjpzZWNyZXQ=\r\n");
    CHECK_SAYS(head, "\r\nCookie: a=b\r\n");
    /* Another port is another origin. What was dropped does not come back. */
    redirect(other, "303 See Other", with_port("ws://127.0.0.1:%u/h", port));
    CHECK_SAYS(head, "GET /g HTTP/1.1\r\n");
    CHECK_SAYS(head, with_port("\r\nHost: 127.0.0.1:%u\r\n", other_port));
    CHECK_SAYS(head, "\r\nX-Any: c\r\n");
    CHECK(strcasestr(head, "\r\nauthorization:") == NULL && strcasestr(head, "\r\ncookie:") == NULL);
    serve_and_talk(raw_accept(listener), connection);
    CHECK(strcasestr(head, "\r\nauthorization:") == NULL && strcasestr(head, "\r\ncookie:") == NULL);
    cmws_options_clear(&options);
}

TEST(S7_redirects_that_go_round_end)
{
    uint16_t port;
    int listener = raw_listen(&port);
    cmws_options_t options = options_default();
    cmws_handle_t connection;
    struct seen closed;
    loop_open(&loop);
    CHECK_OK(cmws_options_set(&options, "max_redirects", 13, 3));
    connection = loop_connect(&loop, port, &options);
    for (int i = 0; i < 4; i++)
        redirect(listener, "302 Found", "/");
    closed = fails(connection, CMWS_STATUS_HTTP);
    CHECK_INT(closed.http_status, 302);
    CHECK_SAYS(closed.text, "max_redirects is 3");

    connection = loop_connect(&loop, port, &options);
    redirect(listener, "302 Found", "ftp://127.0.0.1/");
    CHECK_INT(fails(connection, CMWS_STATUS_HTTP).http_status, 302);
    cmws_options_clear(&options);
}

TEST(S9_open_timeout_covers_redirects)
{
    uint16_t port;
    int listener = raw_listen(&port);
    cmws_options_t options = options_default();
    int64_t start = now_ms();
    loop_open(&loop);
    options.open_timeout_ms = 500;
    CHECK_OK(cmws_options_set(&options, "max_redirects", 13, 20));
    loop_connect(&loop, port, &options);
    redirect(listener, "302 Found", "/");
    redirect(listener, "302 Found", "/"); /* and then silence */
    CHECK_SAYS(fails(0, CMWS_STATUS_TIMEOUT).text, "timed out after 0.5 s");
    CHECK(now_ms() - start < 8000);
    cmws_options_clear(&options);
}

TEST(S8_subprotocols_are_offered_in_their_order)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    cmws_options_t options = options_default();
    const cmws_header_t by_hand = {"Sec-WebSocket-Protocol", 22, "chat", 4};
    cmws_handle_t connection;
    cmws_connection_info_t info;
    const char *address = with_port("ws://127.0.0.1:%u/", port);
    loop_open(&loop);
    set_text(&options, "subprotocols", "chat.v2");
    set_text(&options, "subprotocols", "chat");
    connection = dial(address, &options);
    fd = raw_accept(listener);
    serve_and_talk(fd, connection);
    CHECK_SAYS(head, "\r\nSec-WebSocket-Protocol: chat.v2, chat\r\n");
    info = info_of(connection);
    CHECK_INT(info.subprotocol_length, 7);
    CHECK(memcmp(info.subprotocol, "chat.v2", 7) == 0);
    CHECK_STATUS(cmws_mailbox_connect(loop.mailbox, address, strlen(address), &by_hand, 1, &options,
                                      &connection),
                 CMWS_STATUS_INVALID_ARGUMENT);
    cmws_options_clear(&options);
}

TEST(S8_values_of_any_bytes_arrive_unchanged)
{
    uint16_t port;
    int listener = raw_listen(&port), fd;
    char value[256], wanted[300] = "\r\nX-Any: ";
    size_t length = 0, at = strlen(wanted);
    cmws_header_t header = {"X-Any", 5, value, 0};
    const char *address = with_port("ws://127.0.0.1:%u/", port);
    cmws_handle_t connection;
    value[length++] = 'a';
    for (int c = 1; c < 256; c++)
        if (c == '\t' || (c >= ' ' && c != 0x7f))
            value[length++] = (char)c;
    header.value_length = length;
    memcpy(wanted + at, value, length);
    memcpy(wanted + at + length, "\r\n", 3);
    loop_open(&loop);
    CHECK_OK(cmws_mailbox_connect(loop.mailbox, address, strlen(address), &header, 1, NULL,
                                  &connection));
    fd = raw_accept(listener);
    /* An interim answer with such bytes does no harm. */
    write_text(fd, "HTTP/1.1 103 Early Hints\r\nX-Any:");
    raw_write(fd, value, length);
    write_text(fd, "\r\n\r\n");
    serve_and_talk(fd, connection);
    CHECK(memmem(head, strlen(head), wanted, strlen(wanted)) != NULL);
}

/* A folder of this test's own, and the path of a socket in it. */
static void socket_path(char *folder, char *path, size_t capacity)
{
    strcpy(folder, "/tmp/cmws-test-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, capacity, "%s/a.sock", folder);
}

TEST(S10_a_unix_socket_serves_both_roles)
{
    char folder[64], path[100], host[128], address[160];
    struct loop server_loop;
    struct stat file;
    cmws_handle_t listener, second, connection, server;
    cmws_connection_info_t info;
    cmws_address_t bound;
    loop_open(&loop);
    loop_open(&server_loop);
    socket_path(folder, path, sizeof path);
    snprintf(host, sizeof host, "unix:%s", path);
    CHECK_OK(cmws_mailbox_listen(server_loop.mailbox, host, strlen(host), 0, NULL, &listener));
    CHECK_OK(cmws_listener_address(listener, sizeof bound, &bound));
    CHECK_TEXT(bound.host, host);
    CHECK_INT(bound.port, 0);
    CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, host, strlen(host), 0, NULL, &second),
                 CMWS_STATUS_LISTEN);
    CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, host, strlen(host), 80, NULL, &second),
                 CMWS_STATUS_INVALID_ARGUMENT);

    snprintf(address, sizeof address, "ws+unix://%s:/p/q?r=s", path);
    connection = dial(address, NULL);
    server = loop_accept(&server_loop, listener);
    loop_wait(&loop, CMWS_EVENT_OPEN, connection);
    info = info_of(server);
    CHECK_INT(info.path_length, 4);
    CHECK(memcmp(info.path, "/p/q", 4) == 0);
    CHECK(info.query_length == 3 && memcmp(info.query, "r=s", 3) == 0);
    CHECK_INT(info.peer.port, 0);
    CHECK_TEXT(info.peer.host, "");
    CHECK_OK(send_text(connection, "up"));
    CHECK_RECEIVES(&server_loop, server, "up");
    CHECK_OK(send_text(server, "down"));
    CHECK_RECEIVES(&loop, connection, "down");

    CHECK(stat(path, &file) == 0 && S_ISSOCK(file.st_mode));
    CHECK_OK(cmws_listener_close(listener, "", 0));
    CHECK(stat(path, &file) != 0);
    CHECK_OK(send_text(connection, "more")); /* what is open stays open */
    CHECK_RECEIVES(&server_loop, server, "more");
    CHECK_SAYS(fails(dial(address, NULL), CMWS_STATUS_TCP).text, "connect to ws+unix:///tmp/");
    CHECK(rmdir(folder) == 0);
}

TEST(S10_a_stale_unix_socket_is_replaced)
{
    char folder[64], path[100], host[128];
    struct sockaddr_un name = {0};
    struct stat file;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cmws_handle_t listener;
    loop_open(&loop);
    socket_path(folder, path, sizeof path);
    snprintf(host, sizeof host, "unix:%s", path);
    name.sun_family = AF_UNIX;
    strcpy(name.sun_path, path);
    CHECK(bind(fd, (struct sockaddr *)&name, sizeof name) == 0 && listen(fd, 1) == 0);
    CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, host, strlen(host), 0, NULL, &listener),
                 CMWS_STATUS_LISTEN);
    close(fd);
    CHECK_OK(cmws_mailbox_listen(loop.mailbox, host, strlen(host), 0, NULL, &listener));
    cmws_mailbox_close(loop.mailbox);
    CHECK(stat(path, &file) != 0);

    loop_open(&loop);
    fclose(fopen(path, "w")); /* a file that is no socket stays */
    CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, host, strlen(host), 0, NULL, &listener),
                 CMWS_STATUS_LISTEN);
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
}
