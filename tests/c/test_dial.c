/* The way to a server: addresses that are raced, interim answers, redirects, what is sent. */
#include "dial.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

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
    CHECK_SAYS(closed.text, "ws://...@elsewhere.test/a");
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
