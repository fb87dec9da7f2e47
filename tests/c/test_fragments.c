/* Messages that are sent, and received, in fragments (RFC 6455, 5.4). */
#include "support.h"
#include "raw.h"

#include <unistd.h>

static cmws_status_t begin(cmws_handle_t connection, uint32_t kind, uint64_t *message)
{
    return cmws_connection_begin(connection, kind, CMWS_SEND_NOTIFY, message);
}

static cmws_status_t put(cmws_handle_t connection, uint64_t message, const char *text)
{
    return cmws_connection_write(connection, message, (const uint8_t *)text, strlen(text), CMWS_SEND_NOTIFY);
}

static void check_frame(int fd, int opcode, bool fin, const char *text)
{
    struct frame *frame = calloc(1, sizeof *frame);
    CHECK(raw_read(fd, frame));
    CHECK_INT(frame->opcode, opcode);
    CHECK_INT(frame->fin, fin);
    CHECK_INT(frame->length, strlen(text));
    CHECK(memcmp(frame->payload, text, frame->length) == 0);
    free(frame);
}

static void check_part(struct loop *loop, cmws_handle_t connection, const char *text, uint32_t flags)
{
    cmws_message_t message;
    CHECK(next_message(loop, connection, &message));
    CHECK_INT(message.length, strlen(text));
    CHECK(memcmp(message.data, text, message.length) == 0);
    CHECK_INT(message.flags, flags);
    release(&message);
}

static cmws_options_t in_fragments(void)
{
    cmws_options_t options = options_default();
    CHECK_OK(cmws_options_set(&options, "fragments", 9, 1));
    return options;
}

TEST(S37_a_message_is_written_in_fragments)
{
    struct loop loop;
    uint64_t message, other;
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, NULL);
    int fd = raw_open(listener_port(listener));
    cmws_handle_t connection = loop_accept(&loop, listener);
    CHECK_OK(begin(connection, CMWS_MESSAGE_TEXT, &message));
    CHECK_OK(put(connection, message, "one "));
    check_frame(fd, OP_TEXT, false, "one ");
    CHECK_OK(put(connection, message, ""));
    /* A character may be split, but not broken. */
    CHECK_OK(put(connection, message, "\xc3"));
    CHECK_STATUS(put(connection, message, "x"), CMWS_STATUS_INVALID_TEXT);
    CHECK_STATUS(cmws_connection_finish(connection, message), CMWS_STATUS_INVALID_TEXT);
    CHECK_OK(put(connection, message, "\xbc"));
    /* Nothing else goes between, but control frames. */
    CHECK_STATUS(send_text(connection, "other"), CMWS_STATUS_WOULD_BLOCK);
    CHECK_STATUS(begin(connection, CMWS_MESSAGE_BINARY, &other), CMWS_STATUS_WOULD_BLOCK);
    raw_send(fd, OP_PING, true, "p", 1);
    check_frame(fd, OP_CONTINUATION, false, "\xc3");
    check_frame(fd, OP_CONTINUATION, false, "\xbc");
    check_frame(fd, OP_PONG, true, "p");
    CHECK_INT(info_of(connection).messages_sent, 0);
    CHECK_INT(info_of(connection).bytes_sent, 6);
    CHECK_OK(cmws_connection_finish(connection, message));
    check_frame(fd, OP_CONTINUATION, true, "");
    CHECK_INT(info_of(connection).messages_sent, 1);
    loop_wait(&loop, CMWS_EVENT_WRITABLE, connection);
    /* Another number is another message. */
    CHECK_OK(begin(connection, CMWS_MESSAGE_BINARY, &other));
    CHECK(other != message);
    CHECK_STATUS(put(connection, message, "late"), CMWS_STATUS_CLOSED);
    CHECK_STATUS(cmws_connection_finish(connection, message), CMWS_STATUS_CLOSED);
    cmws_connection_abandon(connection, message);
    CHECK_OK(cmws_connection_finish(connection, other));
    check_frame(fd, OP_BINARY, true, "");
    CHECK_OK(send_text(connection, "after"));
    check_frame(fd, OP_TEXT, true, "after");
    CHECK_STATUS(cmws_connection_begin(connection, 3, 0, &other), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connection_begin(connection, 1, 8, &other), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connection_begin(connection, 1, 0, NULL), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connection_write(connection, 1, NULL, 0, 8), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connection_write(0, 1, NULL, 0, 0), CMWS_STATUS_INVALID_HANDLE);
    close(fd);
}

TEST(S37_a_message_that_is_not_finished_is_never_taken_for_a_whole_one)
{
    struct loop loop;
    uint64_t message;
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, NULL);
    int fd = raw_open(listener_port(listener));
    cmws_handle_t connection = loop_accept(&loop, listener);
    /* Nothing of it has been sent: the connection lives on. */
    CHECK_OK(begin(connection, CMWS_MESSAGE_TEXT, &message));
    CHECK_STATUS(send_text(connection, "waits"), CMWS_STATUS_WOULD_BLOCK);
    cmws_connection_abandon(connection, message);
    CHECK_OK(send_text(connection, "after"));
    check_frame(fd, OP_TEXT, true, "after");
    CHECK_OK(begin(connection, CMWS_MESSAGE_TEXT, &message));
    CHECK_OK(put(connection, message, "half"));
    cmws_connection_abandon(connection, message);
    CHECK_STATUS(put(connection, message, "more"), CMWS_STATUS_CLOSED);
    check_frame(fd, OP_TEXT, false, "half");
    struct frame *frame = calloc(1, sizeof *frame);
    CHECK(raw_read(fd, frame));
    CHECK_INT(frame->opcode, OP_CLOSE);
    CHECK_INT(frame->code, 1011);
    raw_send_close(fd, true, 1011, "");
    loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
    free(frame);
    close(fd);
}

TEST(S37_fragments_come_as_they_are_sent)
{
    struct loop loop;
    cmws_options_t options = in_fragments();
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, &options);
    int fd = raw_open(listener_port(listener));
    cmws_handle_t connection = loop_accept(&loop, listener);
    CHECK_INT(info_of(connection).fragments, 1);
    raw_send(fd, OP_TEXT, true, "whole", 5);
    check_part(&loop, connection, "whole", 0);
    /* A frame of which some bytes come, cut within a character: RFC 6455, 5.2. */
    const unsigned char head[] = {OP_TEXT, 0x80 | 10, 0, 0, 0, 0, 'o', 'n', 'e', 0xe2, 0x82};
    raw_write(fd, head, sizeof head);
    check_part(&loop, connection, "one", CMWS_MESSAGE_MORE);
    raw_write(fd, "\xac two", 5);
    check_part(&loop, connection, "\xe2\x82\xac two", CMWS_MESSAGE_MORE);
    CHECK_INT(info_of(connection).messages_received, 1);
    /* What was taken can be put back as what it was. */
    CHECK_OK(cmws_connection_put_back(connection, CMWS_MESSAGE_TEXT, (const uint8_t *)"tw", 2,
                                      CMWS_MESSAGE_MORE));
    CHECK_STATUS(cmws_connection_put_back(connection, CMWS_MESSAGE_TEXT, (const uint8_t *)"tw", 2, 2),
                 CMWS_STATUS_INVALID_ARGUMENT);
    check_part(&loop, connection, "tw", CMWS_MESSAGE_MORE);
    const unsigned char last[] = {0x80 | OP_CONTINUATION, 0x80, 0, 0, 0, 0};
    raw_write(fd, last, sizeof last);
    check_part(&loop, connection, "", 0);
    CHECK_INT(info_of(connection).messages_received, 2);
    CHECK_INT(info_of(connection).bytes_received, 5 + 10);
    /* The end of a connection within a message is no end of the message. */
    const unsigned char open[] = {OP_BINARY, 0x80 | 1, 0, 0, 0, 0, 'x'};
    raw_write(fd, open, sizeof open);
    check_part(&loop, connection, "x", CMWS_MESSAGE_MORE);
    raw_send_close(fd, true, 1000, "");
    cmws_message_t message;
    CHECK(!next_message(&loop, connection, &message));
    options.struct_size = sizeof options;
    CHECK_OK(cmws_options_set(&options, "reconnect", 9, 1));
    cmws_handle_t refused;
    CHECK_STATUS(cmws_mailbox_connect(loop.mailbox, "ws://127.0.0.1:1/", 17, NULL, 0, &options, &refused),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS(cmws_last_error_text(), "fragments does not go with reconnect");
    cmws_options_clear(&options);
    close(fd);
}

/* 256 MiB each way, compressed one way, through limits of 64 KiB. */
TEST(S37_a_message_may_be_larger_than_memory_should_hold)
{
    enum { PART = 32 * 1024, PARTS = 8192 };
    struct pair pair;
    cmws_options_t options = in_fragments();
    cmws_options_t client = in_fragments();
    uint8_t *part = malloc(PART);
    uint64_t message;
    options.read_limit = client.read_limit = 64 * 1024;
    options.max_message_size = client.max_message_size = (uint64_t)PART * PARTS;
    CHECK_OK(cmws_options_set(&options, "compression", 11, 1));
    CHECK_OK(cmws_options_set(&options, "compression_level", 17, 1));
    CHECK_OK(cmws_options_set(&client, "compression_level", 17, 1));
    for (int i = 0; i < PART; i++)
        part[i] = (uint8_t)(i / 16 * 37);
    pair_open(&pair, &options, &client);
    for (int way = 0; way < 2; way++) {
        cmws_handle_t from = way ? pair.server : pair.client, to = way ? pair.client : pair.server;
        struct loop *sender = way ? &pair.server_loop : &pair.client_loop;
        struct loop *receiver = way ? &pair.client_loop : &pair.server_loop;
        uint32_t flags = way ? CMWS_SEND_UNCOMPRESSED : 0;
        size_t written = 0, got = 0;
        bool finished = false, whole = false;
        long before = resident_kib(), most = 0;
        CHECK_OK(cmws_connection_begin(from, CMWS_MESSAGE_BINARY, flags, &message));
        while (!whole) {
            while (written < PARTS) {
                cmws_status_t status = cmws_connection_write(from, message, part, PART, CMWS_SEND_NOTIFY);
                if (status == CMWS_STATUS_WOULD_BLOCK)
                    break;
                CHECK_OK(status);
                written++;
            }
            if (written == PARTS && !finished) {
                CHECK_OK(cmws_connection_finish(from, message));
                finished = true;
            }
            cmws_message_t taken[16];
            size_t count;
            CHECK_OK(cmws_connection_receive(to, taken, sizeof *taken, 16, &count));
            for (size_t i = 0; i < count; i++) {
                for (size_t k = 0; k < taken[i].length;) {
                    size_t at = (got + k) % PART, n = taken[i].length - k;
                    n = n < PART - at ? n : PART - at;
                    CHECK(memcmp(taken[i].data + k, part + at, n) == 0);
                    k += n;
                }
                got += taken[i].length;
                whole = !taken[i].flags;
            }
            cmws_message_release(taken, sizeof *taken, count);
            most = most > resident_kib() ? most : resident_kib();
            if (count == 0) {
                loop_poll(receiver, 1);
                loop_poll(sender, 0);
            }
        }
        CHECK_INT(got, (size_t)PART * PARTS);
        CHECK(most - before < 8 * 1024);
    }
    free(part);
}

TEST(S37_a_connection_does_not_move_within_a_message)
{
    struct pair pair;
    struct loop third;
    uint64_t message;
    cmws_handle_t moved;
    pair_open(&pair, NULL, NULL);
    loop_open(&third);
    CHECK_OK(begin(pair.server, CMWS_MESSAGE_TEXT, &message));
    CHECK_OK(put(pair.server, message, "half "));
    CHECK_STATUS(cmws_connection_move(pair.server, third.mailbox, &moved), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS(cmws_last_error_text(), "not finished");
    CHECK_OK(put(pair.server, message, "and half"));
    CHECK_OK(cmws_connection_finish(pair.server, message));
    CHECK_OK(cmws_connection_move(pair.server, third.mailbox, &moved));
    CHECK_STATUS(begin(pair.server, CMWS_MESSAGE_TEXT, &message), CMWS_STATUS_MOVED);
    CHECK_RECEIVES(&pair.client_loop, pair.client, "half and half");
}
