/* What the tests of the C ABI share: a small harness and a loop around a mailbox.
 *
 * Each test runs in a child process of its own, so that a crash, a hang, its memory and its
 * descriptors are its own. The parent never touches the library.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <coromega_ws.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The outer limit of every wait, in milliseconds. Nothing is expected to take that long. */
#define PATIENCE 30000

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

void test_register(struct test *test);
void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
/* Ends a test that can't be made here, and says why. */
void test_skip(const char *why) __attribute__((noreturn));

/* Defines a test. Its name begins with the number of the rule that it proves. */
#define TEST(name)                                                                                 \
    static void name(void);                                                                        \
    static struct test test_##name = {#name, name, NULL};                                          \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        test_register(&test_##name);                                                               \
    }                                                                                              \
    static void name(void)

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition) ((condition) ? (void)0 : FAIL("%s", #condition))
#define CHECK_INT(actual, expected)                                                                \
    check_int(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
#define CHECK_STATUS(call, expected) check_status(__FILE__, __LINE__, #call, (call), (expected))
#define CHECK_OK(call) CHECK_STATUS(call, CMWS_STATUS_OK)
#define CHECK_TEXT(actual, expected) check_text(__FILE__, __LINE__, #actual, (actual), (expected))
/* The text contains a part; case matters. */
#define CHECK_SAYS(text, part) check_says(__FILE__, __LINE__, (text), (part))

void check_int(const char *file, int line, const char *what, long long actual, long long expected);
void check_status(const char *file, int line, const char *call, cmws_status_t actual,
                  cmws_status_t expected);
void check_text(const char *file, int line, const char *what, const char *actual,
                const char *expected);
void check_says(const char *file, int line, const char *text, const char *part);

/* An event that was polled, with a text that lasts. */
struct seen {
    uint32_t kind;
    cmws_status_t status;
    cmws_handle_t handle;
    uint16_t close_code;
    uint16_t http_status;
    uint32_t level;
    char text[512];
};

/* A mailbox, and the events that were polled and not yet asked for. */
struct loop {
    cmws_handle_t mailbox;
    struct seen *seen;
    size_t count, capacity;
};

void loop_open(struct loop *loop);
/* Polls once; returns how many events came. */
size_t loop_poll(struct loop *loop, int timeout_ms);
/* Waits for an event of this kind; handle 0 is any. It is taken out of those seen. */
struct seen loop_wait(struct loop *loop, uint32_t kind, cmws_handle_t handle);
/* Takes such an event if one was seen. */
bool loop_take(struct loop *loop, uint32_t kind, cmws_handle_t handle, struct seen *out);
/* Polls until `ms` have passed. */
void loop_run(struct loop *loop, int ms);

cmws_options_t options_default(void);
cmws_handle_t loop_listen(struct loop *loop, const cmws_options_t *options);
uint16_t listener_port(cmws_handle_t listener);
/* Asks for a connection to a port of this machine. */
cmws_handle_t loop_connect(struct loop *loop, uint16_t port, const cmws_options_t *options);
/* Waits for a client and takes it. */
cmws_handle_t loop_accept(struct loop *loop, cmws_handle_t listener);

/* Both ends of one connection, each on a loop of its own. */
struct pair {
    struct loop server_loop, client_loop;
    cmws_handle_t listener, server, client;
};

void pair_open(struct pair *pair, const cmws_options_t *server_options,
               const cmws_options_t *client_options);

cmws_status_t send_text(cmws_handle_t connection, const char *text);
/* Waits for the next message; false when the connection has ended. Release it afterwards. */
bool next_message(struct loop *loop, cmws_handle_t connection, cmws_message_t *out_message);
void release(cmws_message_t *message);
/* Waits for the next message and compares it. */
#define CHECK_RECEIVES(loop, connection, text)                                                     \
    check_receives(__FILE__, __LINE__, (loop), (connection), (text))
void check_receives(const char *file, int line, struct loop *loop, cmws_handle_t connection,
                    const char *text);
cmws_connection_info_t info_of(cmws_handle_t connection);

int64_t now_ms(void);
void sleep_ms(int ms);
/* How many times slower than usual this runs: 1, or more under valgrind (COROMEGA_SLOWNESS). */
int slowness(void);
/* The resident memory of this process, in KiB. */
long resident_kib(void);
int count_threads(const char *name); /* NULL counts all */
int count_descriptors(void);

#endif
