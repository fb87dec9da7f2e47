/* What hostile peers may say in a handshake and about frames: docs/security.md has the list. */
#include "hostile.h"

#include <sys/socket.h>
#include <unistd.h>

static char text[70000];

/* A field of about 15 KiB: a name, and one piece as often as it fits. */
static const char *long_field(const char *name, const char *piece)
{
    static char field[16 * 1024];
    size_t length = (size_t)snprintf(field, sizeof field, "%s: x", name);
    while (length + strlen(piece) < 15000)
        length += (size_t)snprintf(field + length, sizeof field - length, "%s", piece);
    snprintf(field + length, sizeof field - length, "\r\n");
    return field;
}

TEST(S30_long_lists_in_a_request_cost_no_more_than_their_length)
{
    static const struct {
        const char *name, *piece;
    } lists[] = {
        {"Sec-WebSocket-Extensions", ";a"},    {"Sec-WebSocket-Extensions", ",a"},
        {"Sec-WebSocket-Extensions", ",a;a="}, {"Sec-WebSocket-Extensions", ";a=\"\\a\""},
        {"Sec-WebSocket-Extensions", "\t "},   {"Sec-WebSocket-Extensions", ", ,"},
        {"Sec-WebSocket-Protocol", ",a"},      {"Sec-WebSocket-Protocol", ", ,"},
        {"Sec-WebSocket-Protocol", "\t "},     {"Connection", ",a"},
        {"Connection", ", ,"},                 {"Upgrade", ",\t"}};
    struct loop loop;
    cmws_options_t options = options_default();
    cmws_handle_t listener;
    set(&options, "compression", 1);
    for (int i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof name, "p%d", i);
        CHECK_OK(cmws_options_set_text(&options, "subprotocols", 12, name, strlen(name)));
    }
    loop_open(&loop);
    listener = loop_listen(&loop, &options);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        const char *field = long_field(lists[i].name, lists[i].piece);
        long cpu = cpu_ms();
        for (int n = 0; n < 20; n++) {
            int fd = ask(listener_port(listener), field);
            cmws_handle_t taken;
            size_t count;
            CHECK(recv(fd, text, 12, MSG_WAITALL) == 12);
            close(fd);
            CHECK_OK(cmws_listener_accept(listener, &taken, 1, &count));
            if (count == 1)
                cmws_connection_free(taken);
        }
        /* Each pair of 7500 elements, 20 times, would be half a second and more. */
        if (cpu_ms() - cpu > 300)
            FAIL("%s of \"%s\": %ld ms", lists[i].name, lists[i].piece, cpu_ms() - cpu);
    }
}

TEST(S6_a_long_list_in_an_answer_costs_no_more_than_its_length)
{
    static const char *pieces[] = {";a", ",a", "\t ", ", ,"};
    for (int i = 0; i < 4; i++) {
        static const char start[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                    "Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n";
        const char *field = long_field("Sec-WebSocket-Extensions", pieces[i]);
        struct loop loop;
        uint16_t port;
        int listener = raw_listen(&port);
        long cpu;
        loop_open(&loop);
        cpu = cpu_ms();
        for (int n = 0; n < 10; n++) {
            cmws_handle_t client = loop_connect(&loop, port, NULL);
            int fd = raw_accept(listener);
            raw_read_head(fd, text, sizeof text);
            raw_write(fd, start, sizeof start - 1);
            raw_write(fd, field, strlen(field));
            raw_write(fd, "\r\n", 2);
            CHECK_STATUS(loop_wait(&loop, CMWS_EVENT_CLOSED, client).status, CMWS_STATUS_HANDSHAKE);
            close(fd);
        }
        CHECK(cpu_ms() - cpu < 200);
    }
}

TEST(S26_a_compressed_frame_that_was_not_agreed_on_is_refused)
{
    static const unsigned char hello[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    for (int server = 0; server < 2; server++) {
        struct loop loop;
        unsigned char frame[32];
        int fd;
        cmws_message_t message;
        cmws_options_t options = options_default();
        cmws_handle_t connection = server ? open_hostile(&loop, &options, DEFLATE, &fd)
                                          : dial_hostile(&loop, &options, "", &fd);
        raw_write(fd, frame, put_frame(frame, 0xc1, server, hello, sizeof hello));
        CHECK_INT(code_of_close(fd), 1002);
        CHECK(!next_message(&loop, connection, &message));
    }
}

TEST(S13_window_bits_beyond_8_to_15_are_declined)
{
    static const char *bits[] = {"0", "1", "7", "16", "-1", "08", "015", "255", "256", "4294967304", "a"};
    static const char *names[] = {"server_max_window_bits", "client_max_window_bits"};
    struct loop loop;
    cmws_options_t options = options_default();
    cmws_handle_t listener;
    set(&options, "compression", 1);
    loop_open(&loop);
    listener = loop_listen(&loop, &options);
    for (size_t i = 0; i < sizeof bits / sizeof bits[0] * 2; i++) {
        char line[256];
        int fd;
        snprintf(line, sizeof line, "Sec-WebSocket-Extensions: permessage-deflate; %s=%s\r\n",
                 names[i % 2], bits[i / 2]);
        fd = ask(listener_port(listener), line);
        raw_read_head(fd, text, sizeof text);
        CHECK_SAYS(text, " 101 ");
        if (strcasestr(text, "permessage-deflate") != NULL)
            FAIL("%s was accepted", line);
        close(fd);
    }
}

TEST(S6_window_bits_beyond_8_to_15_in_an_answer_end_the_connect)
{
    static const char *bits[] = {"0", "7", "16", "-1", "08", "256", "4294967304", "a"};
    static const char *names[] = {"server_max_window_bits", "client_max_window_bits"};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0] * 2; i++) {
        struct loop loop;
        char line[256];
        uint16_t port;
        int listener = raw_listen(&port), fd;
        cmws_handle_t client;
        loop_open(&loop);
        client = loop_connect(&loop, port, NULL);
        snprintf(line, sizeof line, "%.*s; %s=%s\r\n", (int)strlen(DEFLATED) - 2, DEFLATED, names[i % 2],
                 bits[i / 2]);
        fd = serve_with(listener, line);
        CHECK_STATUS(loop_wait(&loop, CMWS_EVENT_CLOSED, client).status, CMWS_STATUS_HANDSHAKE);
        close(fd);
        close(listener);
    }
}

TEST(S6_an_answer_may_have_any_bytes_in_its_values)
{
    struct loop loop;
    int fd;
    cmws_handle_t client = dial_hostile(&loop, NULL, "Server: \xff\xfe\x80\xe4 \xc3\r\nX-\x21: \xf0\x28\r\n", &fd);
    raw_send(fd, OP_TEXT, false, "fine", 4);
    CHECK_RECEIVES(&loop, client, "fine");
}

TEST(S26_one_pong_for_one_ping)
{
    static struct frame frame;
    for (int server = 0; server < 2; server++) {
        static const size_t parts[] = {1, 3, 6, 9};
        for (size_t part = 0; part < 4; part++) {
            struct loop loop;
            unsigned char ping[32];
            int fd;
            size_t length;
            cmws_handle_t connection = server ? open_hostile(&loop, NULL, "", &fd)
                                              : dial_hostile(&loop, NULL, "", &fd);
            length = put_frame(ping, 0x89, server, "ping", 4);
            /* Split at several places, and alone. */
            size_t first = parts[part] < length ? parts[part] : length;
            raw_write(fd, ping, first);
            loop_run(&loop, 20);
            raw_write(fd, ping + first, length - first);
            CHECK(raw_read(fd, &frame));
            CHECK_INT(frame.opcode, OP_PONG);
            CHECK_TEXT(frame.payload, "ping");
            CHECK_OK(send_text(connection, "next"));
            CHECK_OK(cmws_connection_close(connection, 1000, NULL, 0));
            CHECK(raw_read(fd, &frame));
            CHECK_INT(frame.opcode, OP_TEXT);
            CHECK(raw_read(fd, &frame));
            CHECK_INT(frame.opcode, OP_CLOSE);
        }
    }
}

TEST(S26_a_frame_with_the_wrong_masking_is_never_delivered)
{
    for (int server = 0; server < 2; server++) {
        struct loop loop;
        unsigned char frames[64];
        cmws_message_t message;
        size_t length;
        int fd;
        cmws_handle_t connection =
            server ? open_hostile(&loop, NULL, "", &fd) : dial_hostile(&loop, NULL, "", &fd);
        length = put_frame(frames, 0x81, server, "good", 4);
        length += put_frame(frames + length, 0x81, !server, "bad", 3);
        length += put_frame(frames + length, 0x81, server, "behind", 6);
        raw_write(fd, frames, length);
        CHECK_INT(code_of_close(fd), 1002);
        CHECK_RECEIVES(&loop, connection, "good");
        CHECK(!next_message(&loop, connection, &message));
        CHECK_STATUS(loop_wait(&loop, CMWS_EVENT_CLOSED, connection).status, CMWS_STATUS_PROTOCOL);
    }
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, 4);
}

TEST(S17_masking_keys_are_new_for_each_frame_and_evenly_spread)
{
    enum { FRAMES = 2000, PEERS = 2 };
    static unsigned char keys[FRAMES * PEERS][4];
    int ones[32] = {0}, same = 0;
    for (int n = 0; n < FRAMES * PEERS; n++) {
        static struct loop loop;
        static cmws_handle_t client;
        static int fd;
        unsigned char frame[7];
        if (n % FRAMES == 0)
            client = dial_hostile(&loop, NULL, "", &fd);
        CHECK_OK(send_text(client, "x"));
        CHECK(recv(fd, frame, sizeof frame, MSG_WAITALL) == sizeof frame);
        CHECK_INT(frame[1], 0x81);
        memcpy(keys[n], frame + 2, 4);
        CHECK_INT(frame[6] ^ frame[2], 'x');
        for (int bit = 0; bit < 32; bit++)
            ones[bit] += keys[n][bit / 8] >> bit % 8 & 1;
    }
    /* Within ten standard deviations of a half. */
    for (int bit = 0; bit < 32; bit++)
        CHECK(abs(ones[bit] - FRAMES * PEERS / 2) < 320);
    qsort(keys, FRAMES * PEERS, 4, compare_keys);
    for (int n = 1; n < FRAMES * PEERS; n++)
        same += memcmp(keys[n - 1], keys[n], 4) == 0;
    CHECK(same <= 2); /* chance makes one in 500 runs, three never */
}

TEST(S26_close_frames_that_may_not_be_are_refused)
{
    static const struct {
        const char *payload;
        size_t length;
        unsigned code;
    } closes[] = {{"\x03\xe8\xff", 3, 1007},          {"\x03\xe8\xc3", 3, 1007},
                  {"\x03\xe8 \xed\xa0\x80", 6, 1007}, {"\x03", 1, 1002},
                  {"\x00\x00", 2, 1002},              {"\x03\xed", 2, 1002},
                  {"\x03\xee", 2, 1002},              {"\xff\xff", 2, 1002}};
    static char longest[126] = "\x03\xe8";
    struct loop loop;
    struct seen closed;
    int fd;
    cmws_handle_t server;
    for (size_t i = 0; i <= sizeof closes / sizeof closes[0]; i++) {
        unsigned char frame[256];
        bool last = i == sizeof closes / sizeof closes[0];
        open_hostile(&loop, NULL, "", &fd);
        memset(longest + 2, 'r', sizeof longest - 2);
        raw_write(fd, frame,
                  put_frame(frame, 0x88, true, last ? longest : closes[i].payload,
                            last ? 126 : closes[i].length));
        CHECK_INT(code_of_close(fd), last ? 1002 : closes[i].code);
    }
    /* The longest that there may be. */
    server = open_hostile(&loop, NULL, "", &fd);
    raw_send(fd, OP_CLOSE, true, longest, 125);
    CHECK_INT(code_of_close(fd), 1000);
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, server);
    CHECK_OK(closed.status);
    CHECK_INT(strlen(closed.text), 123);
}

TEST(S6_a_refused_connect_can_not_be_used)
{
    static const char refusal[] = "HTTP/1.1 403 Forbidden\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Content-Length: 0\r\n\r\n\x81\x04late";
    struct loop loop;
    uint16_t port;
    cmws_message_t message;
    size_t count;
    int listener = raw_listen(&port), fd;
    cmws_handle_t client;
    loop_open(&loop);
    client = loop_connect(&loop, port, NULL);
    fd = raw_accept(listener);
    raw_read_head(fd, text, sizeof text);
    raw_write(fd, refusal, sizeof refusal - 1);
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, client).http_status, 403);
    raw_send(fd, OP_TEXT, false, "later", 5);
    CHECK(recv(fd, text, 1, 0) <= 0); /* its end is closed */
    loop_run(&loop, 100);
    CHECK(!loop_take(&loop, CMWS_EVENT_OPEN, client, NULL));
    CHECK(!loop_take(&loop, CMWS_EVENT_READABLE, client, NULL));
    CHECK_STATUS(send_text(client, "x"), CMWS_STATUS_CLOSED);
    CHECK_STATUS(cmws_connection_receive(client, &message, sizeof message, 1, &count),
                 CMWS_STATUS_CLOSED);
}

TEST(S13_behind_a_refused_request_nothing_counts)
{
    /* A good request and a frame follow the bad one on the same socket: neither is looked at. */
    struct loop loop;
    cmws_handle_t listener, connection;
    unsigned char frame[16];
    size_t count;
    int fd;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    fd = raw_connect(listener_port(listener));
    snprintf(text, sizeof text,
             "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
             "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    raw_write(fd, text, strlen(text));
    raw_write(fd, frame, put_frame(frame, 0x81, true, "late", 4));
    raw_read_all(fd, text, sizeof text);
    CHECK_SAYS(text, " 426 ");
    CHECK(strstr(text, " 101 ") == NULL);
    close(fd);
    loop_run(&loop, 100);
    CHECK_OK(cmws_listener_accept(listener, &connection, 1, &count));
    CHECK_INT(count, 0);
}

/* A message that begins and never ends, however much goes on in between. */
static void expect_timeout(bool server, bool compressed)
{
    struct loop loop;
    unsigned char frame[64];
    int fd;
    struct frame *came = calloc(1, sizeof *came);
    cmws_options_t options = options_default();
    cmws_handle_t connection;
    set(&options, "message_timeout", 0.3);
    set(&options, "compression", 1);
    connection = server ? open_hostile(&loop, &options, DEFLATE, &fd)
                        : dial_hostile(&loop, &options, DEFLATED, &fd);
    raw_write(fd, frame, put_frame(frame, compressed ? 0x42 : 0x02, server, "\0\0\0\xff\xff", 5));
    for (;;) {
        size_t length = put_frame(frame, 0x00, server, "", 0);
        length += put_frame(frame + length, 0x89, server, "", 0);
        if (send(fd, frame, length, MSG_NOSIGNAL) < 0)
            break;
        CHECK(raw_read(fd, came));
        if (came->opcode == OP_CLOSE)
            break;
        CHECK_INT(came->opcode, OP_PONG);
        sleep_ms(10);
    }
    CHECK_INT(came->code, 1008);
    raw_send_close(fd, server, 1008, "");
    CHECK_STATUS(loop_wait(&loop, CMWS_EVENT_CLOSED, connection).status, CMWS_STATUS_TIMEOUT);
}

TEST(S30_a_message_that_never_completes_ends_within_message_timeout)
{
    for (int kind = 0; kind < 4; kind++)
        expect_timeout(kind & 1, kind & 2);
}

/* The time in which there was no room for a message is not held against it. */
TEST(S29_a_message_that_waits_for_room_has_its_whole_message_timeout_left)
{
    struct loop loop;
    static unsigned char frames[4096];
    char data[2000] = {0};
    int fd;
    size_t first, both;
    cmws_options_t options = options_default();
    cmws_message_t message;
    cmws_handle_t connection;
    set(&options, "message_timeout", 2);
    options.read_limit = 1000;
    connection = open_hostile(&loop, &options, "", &fd);
    first = put_frame(frames, 0x82, true, data, sizeof data);
    both = first + put_frame(frames + first, 0x82, true, data, 1000);
    raw_write(fd, frames, first + 100);
    sleep_ms(3500);
    CHECK(next_message(&loop, connection, &message));
    CHECK_INT(message.length, sizeof data);
    release(&message);
    sleep_ms(1000);
    /* It began 4.5 s ago, of which 1 s counts. */
    raw_write(fd, frames + first + 100, both - first - 100);
    CHECK(next_message(&loop, connection, &message));
    CHECK_INT(message.length, 1000);
    release(&message);
}
