#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SKIPPED 77

static struct test *first_test, **last_test = &first_test;
static const char *running;

void test_register(struct test *test)
{
    *last_test = test;
    last_test = &test->next;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    char why[1024];
    const char *base = strrchr(file, '/');
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    printf("not ok %s: %s:%d: %s\n", running, base ? base + 1 : file, line, why);
    fflush(stdout);
    _exit(1);
}

void test_skip(const char *why)
{
    printf("skipped %s: %s\n", running, why);
    fflush(stdout);
    _exit(SKIPPED);
}

void check_int(const char *file, int line, const char *what, long long actual, long long expected)
{
    if (actual != expected)
        test_fail(file, line, "%s is %lld, not %lld", what, actual, expected);
}

void check_status(const char *file, int line, const char *call, cmws_status_t actual,
                  cmws_status_t expected)
{
    if (actual != expected)
        test_fail(file, line, "%s is %s (%s), not %s", call, cmws_status_name(actual),
                  actual == CMWS_STATUS_OK ? "" : cmws_last_error_text(),
                  cmws_status_name(expected));
}

void check_text(const char *file, int line, const char *what, const char *actual,
                const char *expected)
{
    if (strcmp(actual, expected) != 0)
        test_fail(file, line, "%s is \"%s\", not \"%s\"", what, actual, expected);
}

void check_says(const char *file, int line, const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        test_fail(file, line, "\"%s\" does not say \"%s\"", text, part);
}

void loop_open(struct loop *loop)
{
    memset(loop, 0, sizeof *loop);
    CHECK_OK(cmws_mailbox_new(&loop->mailbox));
}

size_t loop_poll(struct loop *loop, int timeout_ms)
{
    cmws_event_t events[32];
    size_t count = 0;
    CHECK_OK(cmws_mailbox_poll(loop->mailbox, timeout_ms, events, sizeof events[0], 32, &count));
    for (size_t i = 0; i < count; i++) {
        struct seen *seen;
        CHECK(strlen(events[i].text) == events[i].text_length);
        if (loop->count == loop->capacity) {
            loop->capacity = loop->capacity ? loop->capacity * 2 : 64;
            loop->seen = realloc(loop->seen, loop->capacity * sizeof *loop->seen);
        }
        seen = &loop->seen[loop->count++];
        seen->kind = events[i].kind;
        seen->status = events[i].status;
        seen->handle = events[i].handle;
        seen->close_code = events[i].close_code;
        seen->http_status = events[i].http_status;
        seen->level = events[i].level;
        snprintf(seen->text, sizeof seen->text, "%s", events[i].text);
    }
    return count;
}

bool loop_take(struct loop *loop, uint32_t kind, cmws_handle_t handle, struct seen *out)
{
    for (size_t i = 0; i < loop->count; i++) {
        struct seen *seen = &loop->seen[i];
        if (seen->kind != kind || (handle != 0 && seen->handle != handle))
            continue;
        if (out != NULL)
            *out = *seen;
        loop->count--;
        memmove(seen, seen + 1, (loop->count - i) * sizeof *seen);
        return true;
    }
    return false;
}

struct seen loop_wait(struct loop *loop, uint32_t kind, cmws_handle_t handle)
{
    struct seen seen;
    int64_t end = now_ms() + PATIENCE;
    while (!loop_take(loop, kind, handle, &seen)) {
        if (now_ms() > end)
            FAIL("event %u did not come", (unsigned)kind);
        loop_poll(loop, 1000);
    }
    return seen;
}

void loop_run(struct loop *loop, int ms)
{
    int64_t end = now_ms() + ms, left;
    while ((left = end - now_ms()) > 0)
        loop_poll(loop, (int)left);
}

cmws_options_t options_default(void)
{
    cmws_options_t options;
    CHECK_OK(cmws_options_init(sizeof options, &options));
    return options;
}

cmws_handle_t loop_listen(struct loop *loop, const cmws_options_t *options)
{
    cmws_handle_t listener;
    CHECK_OK(cmws_mailbox_listen(loop->mailbox, "127.0.0.1", 9, 0, options, &listener));
    return listener;
}

uint16_t listener_port(cmws_handle_t listener)
{
    cmws_address_t address;
    CHECK_OK(cmws_listener_address(listener, sizeof address, &address));
    CHECK(address.port != 0);
    return address.port;
}

cmws_handle_t loop_connect(struct loop *loop, uint16_t port, const cmws_options_t *options)
{
    char address[64];
    cmws_handle_t connection;
    snprintf(address, sizeof address, "ws://127.0.0.1:%u/", (unsigned)port);
    CHECK_OK(cmws_mailbox_connect(loop->mailbox, address, strlen(address), NULL, 0, options,
                                  &connection));
    return connection;
}

cmws_handle_t loop_accept(struct loop *loop, cmws_handle_t listener)
{
    cmws_handle_t connection;
    size_t count = 0;
    CHECK_OK(cmws_listener_accept(listener, &connection, 1, &count));
    while (count == 0) {
        loop_wait(loop, CMWS_EVENT_ACCEPTED, listener);
        CHECK_OK(cmws_listener_accept(listener, &connection, 1, &count));
    }
    return connection;
}

void pair_open(struct pair *pair, const cmws_options_t *server_options,
               const cmws_options_t *client_options)
{
    loop_open(&pair->server_loop);
    loop_open(&pair->client_loop);
    pair->listener = loop_listen(&pair->server_loop, server_options);
    pair->client = loop_connect(&pair->client_loop, listener_port(pair->listener), client_options);
    pair->server = loop_accept(&pair->server_loop, pair->listener);
    loop_wait(&pair->client_loop, CMWS_EVENT_OPEN, pair->client);
}

cmws_status_t send_text(cmws_handle_t connection, const char *text)
{
    return cmws_connection_send(connection, CMWS_MESSAGE_TEXT, (const uint8_t *)text, strlen(text),
                                0);
}

bool next_message(struct loop *loop, cmws_handle_t connection, cmws_message_t *out_message)
{
    int64_t end = now_ms() + PATIENCE;
    for (;;) {
        size_t count = 0;
        cmws_status_t status =
            cmws_connection_receive(connection, out_message, sizeof *out_message, 1, &count);
        if (status == CMWS_STATUS_CLOSED)
            return false;
        CHECK_STATUS(status, CMWS_STATUS_OK);
        if (count == 1)
            return true;
        if (now_ms() > end)
            FAIL("no message came");
        loop_poll(loop, 1000);
    }
}

void release(cmws_message_t *message)
{
    cmws_message_release(message, sizeof *message, 1);
}

void check_receives(const char *file, int line, struct loop *loop, cmws_handle_t connection,
                    const char *text)
{
    cmws_message_t message;
    if (!next_message(loop, connection, &message))
        test_fail(file, line, "ended before \"%s\" came", text);
    if (message.length != strlen(text) || memcmp(message.data, text, message.length) != 0)
        test_fail(file, line, "received \"%.*s\", not \"%s\"", (int)message.length,
                  (const char *)message.data, text);
    release(&message);
}

cmws_connection_info_t info_of(cmws_handle_t connection)
{
    cmws_connection_info_t info;
    CHECK_OK(cmws_connection_info(connection, sizeof info, &info));
    return info;
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(int ms)
{
    poll(NULL, 0, ms);
}

int slowness(void)
{
    const char *times = getenv("COROMEGA_SLOWNESS");
    return times == NULL ? 1 : atoi(times);
}

long resident_kib(void)
{
    long size = 0, resident = 0;
    FILE *file;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0; /* shadows and quarantine are the sanitizer's: the plain run measures memory */
#endif
    if (slowness() > 1)
        return 0; /* as are valgrind's */
    file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld %ld", &size, &resident) == 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ThreadSanitizer's own threads bear the name of the program's first, which is cut to 15 bytes. */
static bool is_of_the_sanitizer(const char *thread, const char *name)
{
#if defined(__SANITIZE_THREAD__)
    return strncmp(name, program_invocation_short_name, 15) == 0 && atoi(thread) != getpid();
#else
    (void)thread, (void)name;
    return false;
#endif
}

int count_threads(const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;
    CHECK(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], comm[64] = "";
        FILE *file;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (file == NULL)
            continue; /* it ended meanwhile */
        if (fscanf(file, "%63[^\n]", comm) == 1 &&
            (name == NULL ? !is_of_the_sanitizer(entry->d_name, comm) : strcmp(comm, name) == 0))
            count++;
        fclose(file);
    }
    closedir(tasks);
    return count;
}

int count_descriptors(void)
{
    DIR *descriptors = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;
    CHECK(descriptors != NULL);
    while ((entry = readdir(descriptors)) != NULL)
        if (entry->d_name[0] != '.')
            count++;
    closedir(descriptors);
    return count - 1; /* without that of the directory itself */
}

static bool run(const struct test *test)
{
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        running = test->name;
        alarm(120);
        test->run();
        fflush(stdout);
        _exit(0);
    }
    while (waitpid(child, &status, 0) != child)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        return true;
    if (status == 0)
        printf("ok %s\n", test->name);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        printf("not ok %s: it took longer than two minutes\n", test->name);
    else if (WIFSIGNALED(status))
        printf("not ok %s: killed by signal %d\n", test->name, WTERMSIG(status));
    else if (WEXITSTATUS(status) > 1)
        printf("not ok %s: exit status %d\n", test->name, WEXITSTATUS(status));
    return status == 0;
}

int main(int argc, char **argv)
{
    bool all = true;
    for (const struct test *test = first_test; test != NULL; test = test->next) {
        bool wanted = argc == 1;
        for (int i = 1; i < argc; i++)
            wanted = wanted || strstr(test->name, argv[i]) != NULL;
        if (wanted)
            all = run(test) && all;
    }
    return all ? 0 : 1;
}
