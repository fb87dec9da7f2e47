/* What is counted: of connections, of listeners, of the process. */
#include "support.h"
#include "raw.h"

#include <unistd.h>

static cmws_counters_t of_listener(cmws_handle_t listener)
{
    cmws_counters_t counters;
    CHECK_OK(cmws_listener_counters(listener, sizeof counters, &counters));
    return counters;
}

static cmws_counters_t of_process(void)
{
    cmws_counters_t counters;
    CHECK_OK(cmws_process_counters(sizeof counters, &counters));
    return counters;
}

static char *metrics(void)
{
    size_t length, again;
    char *text;
    CHECK_OK(cmws_process_metrics(NULL, 0, &length));
    text = calloc(1, length + 1);
    CHECK_OK(cmws_process_metrics(text, length, &again));
    CHECK_INT(again, length);
    return text;
}

TEST(S13_messages_and_bytes_are_counted_both_ways)
{
    struct pair pair;
    cmws_connection_info_t server, client;
    char big[5000];
    memset(big, 'x', sizeof big);
    pair_open(&pair, NULL, NULL);
    CHECK_OK(send_text(pair.client, "four"));
    CHECK_OK(cmws_connection_send(pair.client, CMWS_MESSAGE_TEXT, (uint8_t *)big, sizeof big, 0));
    CHECK_OK(send_text(pair.client, ""));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "four");
    cmws_message_t message;
    CHECK(next_message(&pair.server_loop, pair.server, &message));
    release(&message);
    CHECK_RECEIVES(&pair.server_loop, pair.server, "");
    CHECK_OK(send_text(pair.server, "one"));
    CHECK_RECEIVES(&pair.client_loop, pair.client, "one");
    CHECK_STATUS(cmws_connection_send(pair.server, CMWS_MESSAGE_TEXT, (uint8_t *)"\xff", 1, 0),
                 CMWS_STATUS_INVALID_TEXT);

    server = info_of(pair.server);
    client = info_of(pair.client);
    CHECK_INT(server.messages_received, 3);
    CHECK_INT(server.bytes_received, 5004);
    CHECK_INT(server.messages_sent, 1);
    CHECK_INT(server.bytes_sent, 3);
    CHECK_INT(client.messages_sent, 3);
    CHECK_INT(client.bytes_sent, 5004);
    CHECK_INT(client.messages_received, 1);
    CHECK_INT(client.bytes_received, 3);
    /* Each end's own address is the other's peer. */
    CHECK_INT(server.local.port, client.peer.port);
    CHECK_INT(client.local.port, server.peer.port);
    CHECK_TEXT(server.local.host, "127.0.0.1");
    CHECK_TEXT(client.local.host, "127.0.0.1");

    cmws_counters_t listener = of_listener(pair.listener), process = of_process();
    CHECK_INT(listener.connections, 1);
    CHECK_INT(listener.opened, 1);
    CHECK_INT(listener.failed, 0);
    CHECK_INT(listener.messages_received, 3);
    CHECK_INT(listener.bytes_received, 5004);
    CHECK_INT(listener.messages_sent, 1);
    CHECK_INT(listener.bytes_sent, 3);
    CHECK_INT(process.connections, 2);
    CHECK_INT(process.opened, 2);
    CHECK_INT(process.messages_received, 4);
    CHECK_INT(process.bytes_received, 5007);
    CHECK_INT(process.messages_sent, 4);
    CHECK_INT(process.bytes_sent, 5007);
}

TEST(S23_who_closed_first_is_known)
{
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    CHECK_INT(info_of(pair.client).closed_by, CMWS_CLOSED_BY_NOBODY);
    CHECK_OK(cmws_connection_close(pair.client, 1000, NULL, 0));
    loop_wait(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server);
    loop_wait(&pair.client_loop, CMWS_EVENT_CLOSED, pair.client);
    CHECK_INT(info_of(pair.client).closed_by, CMWS_CLOSED_BY_US);
    CHECK_INT(info_of(pair.server).closed_by, CMWS_CLOSED_BY_PEER);
}

TEST(S23_without_a_close_frame_nobody_closed)
{
    struct loop loop;
    int fd;
    cmws_handle_t listener, taken;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    fd = raw_open(listener_port(listener));
    taken = loop_accept(&loop, listener);
    close(fd);
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, taken).close_code, 1006);
    CHECK_INT(info_of(taken).closed_by, CMWS_CLOSED_BY_NOBODY);
    CHECK_INT(of_listener(listener).connections, 0);
    CHECK_INT(of_listener(listener).opened, 1);
}

TEST(S13_handshakes_that_fail_are_counted)
{
    struct loop loop;
    cmws_handle_t listener, refused;
    cmws_options_t options = options_default();
    char answer[512];
    loop_open(&loop);
    CHECK_OK(cmws_options_set_text(&options, "health_path", 11, "/health", 7));
    listener = loop_listen(&loop, &options);
    int fd = raw_connect(listener_port(listener));
    raw_write(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    raw_read_all(fd, answer, sizeof answer);
    close(fd);
    fd = raw_connect(listener_port(listener));
    raw_write(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 33);
    raw_read_all(fd, answer, sizeof answer);
    close(fd);
    /* Nobody listens there any more. */
    uint16_t port = listener_port(listener);
    for (int64_t end = now_ms() + PATIENCE; of_listener(listener).failed < 1; sleep_ms(5))
        CHECK(now_ms() < end);
    CHECK_INT(of_listener(listener).failed, 1);
    CHECK_OK(cmws_listener_close(listener, NULL, 0));
    refused = loop_connect(&loop, port, NULL);
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, refused).status, CMWS_STATUS_TCP);
    CHECK_INT(of_listener(listener).failed, 1);
    CHECK_INT(of_process().failed, 2);
    CHECK_INT(of_process().opened, 0);
    cmws_options_clear(&options);
}

TEST(S13_what_was_counted_stays_when_the_connection_has_gone)
{
    struct pair pair;
    cmws_counters_t before, after;
    pair_open(&pair, NULL, NULL);
    for (int i = 0; i < 100; i++)
        CHECK_OK(send_text(pair.client, "x"));
    for (int i = 0; i < 100; i++)
        CHECK_RECEIVES(&pair.server_loop, pair.server, "x");
    before = of_process();
    CHECK_INT(before.messages_received, 100);
    cmws_connection_free(pair.client);
    loop_wait(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server);
    cmws_connection_free(pair.server);
    for (int64_t end = now_ms() + PATIENCE; of_process().connections > 0; sleep_ms(5))
        CHECK(now_ms() < end);
    after = of_process();
    CHECK_INT(after.opened, 2);
    CHECK_INT(after.messages_received, 100);
    CHECK_INT(after.messages_sent, 100);
    CHECK_INT(of_listener(pair.listener).messages_received, 100);
    CHECK_INT(of_listener(pair.listener).connections, 0);
}

TEST(S13_the_counters_can_be_had_as_text_for_prometheus)
{
    struct pair pair;
    char line[128], *text;
    size_t length;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(send_text(pair.client, "four"));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "four");
    text = metrics();
    CHECK_SAYS(text, "# TYPE coromega_ws_connections gauge\n");
    CHECK_SAYS(text, "coromega_ws_connections{role=\"client\"} 1\n");
    CHECK_SAYS(text, "coromega_ws_messages_sent_total{role=\"client\"} 1\n");
    snprintf(line, sizeof line,
             "coromega_ws_received_bytes_total{role=\"server\",listener=\"127.0.0.1:%u\"} 4\n",
             listener_port(pair.listener));
    CHECK_SAYS(text, line);
    CHECK(text[strlen(text) - 1] == '\n');
    /* No more than there is room for. */
    memset(line, '#', sizeof line);
    CHECK_OK(cmws_process_metrics(line, 6, &length));
    CHECK_INT(length, strlen(text));
    CHECK(memcmp(line, "# HELP#", 7) == 0);
    CHECK_STATUS(cmws_process_metrics(NULL, 6, &length), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_process_metrics(line, 6, NULL), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_listener_counters(pair.client, sizeof(cmws_counters_t), &(cmws_counters_t){0}),
                 CMWS_STATUS_INVALID_HANDLE);
    free(text);
}
