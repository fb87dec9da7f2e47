/* The log: silent unless asked, and free of secrets. */
#include "dial.h"

#include <unistd.h>

/* Takes a record with these words from those that have come or come yet. */
static uint32_t wait_record(struct loop *l, const char *part)
{
    for (;;) {
        struct seen seen = loop_wait(l, CMWS_EVENT_LOG, 0);
        if (strstr(seen.text, part))
            return seen.level;
    }
}

TEST(S38_the_log_is_silent_unless_asked)
{
    struct pair pair;
    struct seen seen;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(cmws_connection_close(pair.client, 0, NULL, 0));
    loop_wait(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server);
    loop_wait(&pair.client_loop, CMWS_EVENT_CLOSED, pair.client);
    CHECK(!loop_take(&pair.server_loop, CMWS_EVENT_LOG, 0, &seen));
    CHECK(!loop_take(&pair.client_loop, CMWS_EVENT_LOG, 0, &seen));
    CHECK_STATUS(cmws_mailbox_set_log_level(pair.server_loop.mailbox, 5), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_mailbox_set_log_level(0, 1), CMWS_STATUS_INVALID_HANDLE);
}

TEST(S38_a_log_says_what_happens_and_how_much_it_matters)
{
    struct loop other;
    cmws_options_t options = options_default();
    struct seen seen;
    loop_open(&loop);
    loop_open(&other);
    CHECK_OK(cmws_mailbox_set_log_level(loop.mailbox, CMWS_LOG_INFO));
    CHECK_OK(cmws_options_set(&options, "max_connections", 15, 1));
    cmws_handle_t listener = loop_listen(&loop, &options);
    CHECK_INT(wait_record(&loop, "listens on 127.0.0.1"), CMWS_LOG_INFO);
    int fd = raw_open(listener_port(listener));
    cmws_handle_t server = loop_accept(&loop, listener);
    CHECK_INT(wait_record(&loop, "open, from 127.0.0.1:"), CMWS_LOG_INFO);
    fails(dial(with_port("ws://127.0.0.1:%u/", listener_port(listener)), NULL), CMWS_STATUS_HTTP);
    CHECK_INT(wait_record(&loop, "a client was refused with 503"), CMWS_LOG_WARNING);
    raw_write(fd, "\xff\xff", 2);
    loop_wait(&loop, CMWS_EVENT_CLOSED, server);
    CHECK_INT(wait_record(&loop, "ended: frame has a reserved"), CMWS_LOG_WARNING);
    /* Less of it from now on, and of its own mailbox alone. */
    CHECK_OK(cmws_mailbox_set_log_level(loop.mailbox, CMWS_LOG_ERROR));
    CHECK_OK(cmws_listener_close(listener, NULL, 0));
    loop_wait(&loop, CMWS_EVENT_DEAD, listener);
    CHECK(!loop_take(&loop, CMWS_EVENT_LOG, 0, &seen));
    loop_poll(&other, 0);
    CHECK(!loop_take(&other, CMWS_EVENT_LOG, 0, &seen));
    cmws_options_clear(&options);
    close(fd);
}

TEST(S38_no_payload_and_no_secret_is_in_the_log)
{
    static const char *const names[] = {"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key",
                                        "Sec-WebSocket-Protocol"};
    cmws_header_t headers[5];
    int listener_fd, records = 0, names_seen = 0;
    uint16_t port;
    for (int i = 0; i < 5; i++) {
        headers[i].name = names[i];
        headers[i].name_length = strlen(names[i]);
        headers[i].value = "sesame";
        headers[i].value_length = 6;
    }
    loop_open(&loop);
    CHECK_OK(cmws_mailbox_set_log_level(loop.mailbox, CMWS_LOG_DEBUG));
    cmws_options_t options = options_default();
    set_text(&options, "subprotocols", "sesame");
    cmws_handle_t listener = loop_listen(&loop, &options), clients[2];
    const char *address = with_port("ws://127.0.0.1:%u/?sesame", listener_port(listener));
    CHECK_OK(cmws_mailbox_connect(loop.mailbox, address, strlen(address), headers, 5, NULL, &clients[0]));
    address = with_port("ws://open:sesame@127.0.0.1:%u/?sesame", listener_port(listener));
    CHECK_OK(cmws_mailbox_connect(loop.mailbox, address, strlen(address), NULL, 0, NULL, &clients[1]));
    for (int i = 0; i < 2; i++) {
        cmws_handle_t server = loop_accept(&loop, listener);
        loop_wait(&loop, CMWS_EVENT_OPEN, clients[i]);
        CHECK_OK(send_text(clients[i], "sesame"));
        CHECK_OK(send_text(server, "sesame"));
        CHECK_RECEIVES(&loop, clients[i], "sesame");
        CHECK_OK(cmws_connection_close(clients[i], 4000, "sesame", 6));
        loop_wait(&loop, CMWS_EVENT_CLOSED, server);
        loop_wait(&loop, CMWS_EVENT_CLOSED, clients[i]);
    }
    /* Text that is not UTF-8, and one that nobody understands. */
    int fd = raw_open(listener_port(listener));
    cmws_handle_t server = loop_accept(&loop, listener);
    raw_send(fd, OP_TEXT, true, "sesame\xff", 7);
    loop_wait(&loop, CMWS_EVENT_CLOSED, server);
    close(fd);
    listener_fd = raw_listen(&port);
    address = with_port("ws://open:sesame@127.0.0.1:%u/?sesame", port);
    cmws_handle_t refused = dial(address, NULL);
    fd = raw_accept(listener_fd);
    raw_read_head(fd, head, sizeof head);
    write_text(fd, "HTTP/1.1 401 No\r\nWWW-Authenticate: sesame\r\nContent-Length: 6\r\n\r\nsesame");
    fails(refused, CMWS_STATUS_HTTP);
    close(fd);
    /* A redirect that is not followed. */
    cmws_options_t following = options_default();
    CHECK_OK(cmws_options_set(&following, "max_redirects", 13, 1));
    cmws_handle_t redirected = dial(address, &following);
    fd = raw_accept(listener_fd);
    raw_read_head(fd, head, sizeof head);
    write_text(fd, "HTTP/1.1 302 Found\r\nLocation: ftp://open:sesame@h/?sesame\r\n\r\n");
    fails(redirected, CMWS_STATUS_HTTP);
    struct seen seen;
    while (loop_take(&loop, CMWS_EVENT_LOG, 0, &seen)) {
        records++;
        if (strstr(seen.text, "sesame"))
            FAIL("%s", seen.text);
        names_seen += strstr(seen.text, "X-Api-Key: (not shown)") != NULL;
    }
    CHECK(records >= 10);
    CHECK_INT(names_seen, 2);
    cmws_options_clear(&options);
    close(fd);
    close(listener_fd);
}

static cmws_counters_t counters_of(cmws_handle_t listener)
{
    cmws_counters_t counters;
    CHECK_OK(cmws_listener_counters(listener, sizeof counters, &counters));
    return counters;
}

TEST(S38_records_that_nobody_takes_are_counted_and_left_out)
{
    enum { MANY = 1500 };
    cmws_handle_t listener;
    int records = 0;
    struct seen seen;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    CHECK_OK(cmws_mailbox_set_log_level(loop.mailbox, CMWS_LOG_WARNING));
    long before = resident_kib();
    for (int i = 0; i < MANY; i++) {
        int fd = raw_connect(listener_port(listener));
        write_text(fd, "GET / HTTP/1.1\r\n\r\n");
        raw_read_all(fd, head, sizeof head);
        close(fd);
    }
    while (counters_of(listener).failed < MANY)
        sleep_ms(5);
    CHECK(resident_kib() - before < 2048);
    while (loop_poll(&loop, 0) > 0)
        while (loop_take(&loop, CMWS_EVENT_LOG, 0, &seen))
            records++;
    CHECK_INT(records, 1000);
    int fd = raw_connect(listener_port(listener));
    write_text(fd, "GET / HTTP/1.1\r\n\r\n");
    seen = loop_wait(&loop, CMWS_EVENT_LOG, 0);
    CHECK_SAYS(seen.text, "a client's request was answered with 400 (500 records before this were left out)");
    close(fd);
}
