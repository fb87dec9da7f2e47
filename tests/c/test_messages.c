/* Messages: each once, in order, whole, as text or as binary. */
#include "support.h"
#include "raw.h"

#include <pthread.h>

TEST(S14_each_message_once_and_in_order)
{
    enum { COUNT = 20000, BATCH = 7 };
    struct pair pair;
    int sent = 0, received = 0;
    int64_t end = now_ms() + PATIENCE;
    pair_open(&pair, NULL, NULL);
    while (received < COUNT) {
        cmws_message_t messages[BATCH];
        size_t count = 0;
        char text[32];
        CHECK(now_ms() < end);
        while (sent < COUNT) {
            cmws_status_t status;
            snprintf(text, sizeof text, "message %d", sent);
            status = send_text(pair.client, text);
            if (status == CMWS_STATUS_WOULD_BLOCK)
                break;
            CHECK_OK(status);
            sent++;
        }
        CHECK_OK(
            cmws_connection_receive(pair.server, messages, sizeof messages[0], BATCH, &count));
        for (size_t i = 0; i < count; i++, received++) {
            snprintf(text, sizeof text, "message %d", received);
            CHECK_INT(messages[i].length, strlen(text));
            CHECK(memcmp(messages[i].data, text, strlen(text)) == 0);
        }
        cmws_message_release(messages, sizeof messages[0], count);
    }
    loop_run(&pair.server_loop, 50);
    {
        cmws_message_t extra;
        size_t count = 0;
        CHECK_OK(cmws_connection_receive(pair.server, &extra, sizeof extra, 1, &count));
        CHECK_INT(count, 0);
    }
}

enum { SHARED = 20000 };
static unsigned char taken[SHARED];
static cmws_handle_t shared_connection;

static void *take(void *unused)
{
    int last = -1;
    for (;;) {
        cmws_message_t message;
        size_t count = 0;
        cmws_status_t status =
            cmws_connection_receive(shared_connection, &message, sizeof message, 1, &count);
        if (status == CMWS_STATUS_CLOSED)
            return unused;
        CHECK_OK(status);
        if (count == 1) {
            int number;
            CHECK_INT(message.length, sizeof number);
            memcpy(&number, message.data, sizeof number);
            CHECK(number > last && number < SHARED); /* each taker sees them in order */
            last = number;
            __atomic_fetch_add(&taken[number], 1, __ATOMIC_SEQ_CST);
            release(&message);
        } else {
            sleep_ms(1);
        }
    }
}

TEST(S14_two_threads_never_take_the_same_message)
{
    struct pair pair;
    pthread_t threads[2];
    pair_open(&pair, NULL, NULL);
    shared_connection = pair.server;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, take, NULL) == 0);
    for (int number = 0; number < SHARED;) {
        cmws_status_t status = cmws_connection_send(
            pair.client, CMWS_MESSAGE_BINARY, (const uint8_t *)&number, sizeof number, 0);
        if (status == CMWS_STATUS_WOULD_BLOCK) {
            loop_poll(&pair.client_loop, 1);
            continue;
        }
        CHECK_OK(status);
        number++;
    }
    CHECK_OK(cmws_connection_close(pair.client, 1000, NULL, 0));
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SHARED; i++)
        CHECK_INT(taken[i], 1);
}

TEST(S17_text_binary_and_empty)
{
    struct pair pair;
    static const struct {
        uint32_t kind;
        const char *data;
        size_t length;
    } samples[] = {{CMWS_MESSAGE_TEXT, "gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0\xe5\xa5\xbd", 13},
                   {CMWS_MESSAGE_BINARY, "\x00\xff\xfe", 3},
                   {CMWS_MESSAGE_TEXT, "", 0},
                   {CMWS_MESSAGE_BINARY, "", 0},
                   {CMWS_MESSAGE_TEXT, "a\0b", 3}};
    pair_open(&pair, NULL, NULL);
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        cmws_message_t message;
        CHECK_OK(cmws_connection_send(pair.client, samples[i].kind,
                                      (const uint8_t *)samples[i].data, samples[i].length, 0));
        CHECK(next_message(&pair.server_loop, pair.server, &message));
        CHECK_INT(message.kind, samples[i].kind);
        CHECK_INT(message.length, samples[i].length);
        CHECK(message.data != NULL);
        CHECK(memcmp(message.data, samples[i].data, samples[i].length) == 0);
        release(&message);
    }
}

TEST(S17_every_length_at_which_frames_change)
{
    static const size_t lengths[] = {0,     1,     124,   125,   126,    127,     128,    65534,
                                     65535, 65536, 65537, 70000, 500000, 1048575, 1048576};
    struct pair pair;
    unsigned char *data = malloc(1048576);
    pair_open(&pair, NULL, NULL);
    for (size_t i = 0; i < 1048576; i++)
        data[i] = (unsigned char)(i * 31 + i / 251);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        cmws_message_t message;
        CHECK_OK(cmws_connection_send(pair.client, CMWS_MESSAGE_BINARY, data, lengths[i], 0));
        CHECK(next_message(&pair.server_loop, pair.server, &message));
        CHECK_INT(message.length, lengths[i]);
        CHECK(memcmp(message.data, data, lengths[i]) == 0);
        release(&message);
    }
}

TEST(S17_clients_mask_and_servers_do_not)
{
    struct loop loop;
    struct frame frame;
    cmws_handle_t listener, client, server;
    uint16_t port;
    int raw_listener = raw_listen(&port), fd;
    loop_open(&loop);
    client = loop_connect(&loop, port, NULL);
    fd = raw_serve(raw_listener);
    loop_wait(&loop, CMWS_EVENT_OPEN, client);
    CHECK_OK(send_text(client, "masked"));
    CHECK(raw_read(fd, &frame));
    CHECK(frame.masked && frame.fin);
    CHECK_INT(frame.opcode, OP_TEXT);
    CHECK_TEXT(frame.payload, "masked");

    listener = loop_listen(&loop, NULL);
    fd = raw_open(listener_port(listener));
    server = loop_accept(&loop, listener);
    CHECK_OK(send_text(server, "plain"));
    CHECK(raw_read(fd, &frame));
    CHECK(!frame.masked && frame.fin);
    CHECK_TEXT(frame.payload, "plain");
}

TEST(S17_fragments_become_one_message)
{
    struct loop loop;
    cmws_handle_t listener, server;
    int fd;
    static const unsigned char fragments[] = {
        0x01, 0x83, 0, 0, 0, 0, 'o', 'n', 'e', /* text, not the last */
        0x89, 0x80, 0, 0, 0, 0,                /* a ping between them */
        0x80, 0x83, 0, 0, 0, 0, 't', 'w', 'o'};
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    fd = raw_open(listener_port(listener));
    server = loop_accept(&loop, listener);
    for (size_t i = 0; i < sizeof fragments; i++) {
        raw_write(fd, fragments + i, 1);
        sleep_ms(1);
    }
    CHECK_RECEIVES(&loop, server, "onetwo");
}

TEST(S19_text_that_is_not_utf8_is_an_error_and_nothing_is_sent)
{
    static const char *const bad[] = {"\xff", "abc\xc3", "\xc0\x80", "\xed\xa0\x80",
                                      "\xf5\x80\x80\x80", "ok so far \x80"};
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_STATUS(send_text(pair.client, bad[i]), CMWS_STATUS_INVALID_TEXT);
        CHECK_SAYS(cmws_last_error_text(), "UTF-8");
    }
    CHECK_OK(send_text(pair.client, "good"));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "good");
    /* As binary, any bytes go. */
    CHECK_OK(cmws_connection_send(pair.client, CMWS_MESSAGE_BINARY, (const uint8_t *)bad[0], 1, 0));
}
