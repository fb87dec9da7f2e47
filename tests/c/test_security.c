/* What frames a hostile peer may send, and what it gets out of it: docs/security.md has the list. */
#include "hostile.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB 1024 /* in KiB */

/* Numbered messages, each of which inflates to more than the inbox holds. */
enum { BOMBS = 5000, BOMB = 270000 };

static void *send_bombs(void *argument)
{
    unsigned char *frames = malloc(1 << 20), message[4096];
    for (unsigned n = 0; n < BOMBS;) {
        size_t length = 0;
        for (int i = 0; i < 200; i++, n++) {
            unsigned char head[3] = {n & 127, n >> 7 & 127, n >> 14 & 127};
            size_t size = deflate_zeros(message, head, 3, BOMB);
            length += put_frame(frames + length, 0xc2, true, message, size);
        }
        raw_write(*(int *)argument, frames, length);
    }
    free(frames);
    return NULL;
}

TEST(S14_pauses_while_messages_inflate_lose_and_reorder_nothing)
{
    struct loop loop;
    pthread_t thread;
    int fd;
    int64_t end = now_ms() + PATIENCE * 3;
    cmws_options_t options = options_default();
    cmws_handle_t server;
    options.read_limit = BOMB;
    set(&options, "compression", 1);
    server = open_hostile(&loop, &options, DEFLATE, &fd);
    CHECK(pthread_create(&thread, NULL, send_bombs, &fd) == 0);
    for (unsigned n = 0; n < BOMBS && now_ms() < end;) {
        /* Without poll, so that what was made room for is taken from another thread at once. */
        cmws_message_t message;
        size_t count;
        CHECK_OK(cmws_connection_receive(server, &message, sizeof message, 1, &count));
        if (count == 0)
            continue;
        CHECK_INT(message.length, BOMB + 3);
        CHECK_INT(message.data[0] | message.data[1] << 7 | message.data[2] << 14, n);
        release(&message);
        n++;
    }
    CHECK(now_ms() < end);
    pthread_join(thread, NULL);
}
