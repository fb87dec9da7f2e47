/* Bad arguments, stale handles, names and numbers: errors, and never a crash. */
#include "support.h"

#include <math.h>

TEST(S32_versions_are_known_without_a_runtime)
{
    char version[32];
    snprintf(version, sizeof version, "%s", cmws_version());
    CHECK(version[0] >= '0' && version[0] <= '9');
    CHECK_INT(cmws_abi_version() >> 16, CMWS_ABI_MAJOR);
    CHECK(cmws_abi_version() % 65536 >= CMWS_ABI_MINOR);
    CHECK_INT(count_threads(NULL), 1);
}

TEST(S35_every_status_has_a_name_and_a_text)
{
    for (int status = CMWS_STATUS_OK; status <= CMWS_STATUS_INTERNAL; status++) {
        CHECK(strlen(cmws_status_name(status)) > 1);
        CHECK(strlen(cmws_status_text(status)) > 1);
        for (int other = CMWS_STATUS_OK; other < status; other++)
            CHECK(strcmp(cmws_status_name(status), cmws_status_name(other)) != 0);
    }
    CHECK_TEXT(cmws_status_name(CMWS_STATUS_WOULD_BLOCK), "WOULD_BLOCK");
    CHECK_TEXT(cmws_status_text(CMWS_STATUS_WOULD_BLOCK), "would block");
    CHECK_TEXT(cmws_status_text(CMWS_STATUS_CLOSED), "closed");
    CHECK_TEXT(cmws_status_text(CMWS_STATUS_FORKED), "forked");
    CHECK(cmws_status_name(-1) != NULL && cmws_status_text(12345) != NULL);
}

/* Each function that takes a handle, with one that is not of its kind. */
static void expect_invalid(cmws_handle_t handle, bool as_mailbox, bool as_listener,
                           bool as_connection)
{
    cmws_event_t event;
    cmws_message_t message;
    cmws_header_t header;
    cmws_address_t address;
    cmws_connection_info_t info;
    cmws_handle_t out = 77;
    size_t count = 77;
    int fd = 77;
    const cmws_status_t invalid = CMWS_STATUS_INVALID_HANDLE;
    if (as_mailbox) {
        CHECK_STATUS(cmws_mailbox_fd(handle, &fd), invalid);
        CHECK_STATUS(cmws_mailbox_set_deadline(handle, 1), invalid);
        CHECK_STATUS(cmws_mailbox_poll(handle, 0, &event, sizeof event, 1, &count), invalid);
        CHECK_STATUS(cmws_mailbox_flush(handle), invalid);
        CHECK_STATUS(cmws_mailbox_close(handle), invalid);
        CHECK_STATUS(cmws_mailbox_connect(handle, "ws://127.0.0.1:1", 16, NULL, 0, NULL, &out),
                     invalid);
        CHECK_STATUS(cmws_mailbox_listen(handle, "127.0.0.1", 9, 0, NULL, &out), invalid);
    }
    if (as_listener) {
        CHECK_STATUS(cmws_listener_address(handle, sizeof address, &address), invalid);
        CHECK_STATUS(cmws_listener_accept(handle, &out, 1, &count), invalid);
        CHECK_STATUS(cmws_listener_close(handle, NULL, 0), invalid);
        CHECK_STATUS(cmws_listener_drain(handle, 1, NULL, 0), invalid);
        CHECK_STATUS(cmws_listener_connections(handle, NULL, 0, &(size_t){0}), invalid);
        cmws_listener_free(handle);
    }
    if (as_connection) {
        CHECK_STATUS(cmws_connection_info(handle, sizeof info, &info), invalid);
        CHECK_STATUS(cmws_connection_header(handle, 0, sizeof header, &header), invalid);
        CHECK_STATUS(cmws_connection_send(handle, CMWS_MESSAGE_TEXT, (const uint8_t *)"x", 1, 0),
                     invalid);
        CHECK_STATUS(cmws_connection_receive(handle, &message, sizeof message, 1, &count), invalid);
        CHECK_STATUS(cmws_connection_close(handle, 1000, NULL, 0), invalid);
        CHECK_STATUS(cmws_connection_ping(handle), invalid);
        cmws_connection_free(handle);
    }
    CHECK_INT(out, 77);
    CHECK_INT(count, 77);
    CHECK_INT(fd, 77);
}

TEST(S35_invented_handles)
{
    static const uint64_t invented[] = {
        0, 1, 2, 3, 12345, UINT64_C(1) << 32, UINT64_C(1) << 52, (UINT64_C(1) << 53) - 1,
        UINT64_C(1) << 53, UINT64_C(1) << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof invented / sizeof invented[0]; i++)
        expect_invalid(invented[i], true, true, true);
    CHECK_SAYS(cmws_last_error_text(), "handle");
}

TEST(S35_handles_of_another_kind)
{
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    expect_invalid(pair.client_loop.mailbox, false, true, true);
    expect_invalid(pair.listener, true, false, true);
    expect_invalid(pair.client, true, true, false);
    expect_invalid(pair.server, true, true, false);
    /* None of that has harmed them. */
    CHECK_OK(send_text(pair.client, "still here"));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "still here");
}

TEST(S35_stale_handles)
{
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    cmws_connection_free(pair.client);
    expect_invalid(pair.client, true, true, true);
    cmws_connection_free(pair.client);
    cmws_listener_free(pair.listener);
    expect_invalid(pair.listener, true, true, true);
    CHECK_OK(cmws_mailbox_close(pair.server_loop.mailbox));
    expect_invalid(pair.server_loop.mailbox, true, true, true);
    expect_invalid(pair.server, true, true, true);
}

TEST(S35_handles_are_exact_in_a_double_and_never_used_twice)
{
    enum { MANY = 2000 };
    static cmws_handle_t handles[MANY];
    for (int i = 0; i < MANY; i++) {
        CHECK_OK(cmws_mailbox_new(&handles[i]));
        CHECK(handles[i] != 0 && handles[i] < (UINT64_C(1) << 53));
        CHECK((uint64_t)(double)handles[i] == handles[i]);
        for (int j = 0; j < i; j++)
            CHECK(handles[i] != handles[j]);
        CHECK_OK(cmws_mailbox_close(handles[i]));
    }
}

TEST(S35_null_and_zero_arguments)
{
    struct pair pair;
    cmws_event_t event;
    cmws_message_t message;
    cmws_header_t header;
    cmws_address_t address;
    cmws_connection_info_t info;
    cmws_options_t options = options_default();
    cmws_handle_t out, mailbox;
    size_t count;
    const cmws_status_t invalid = CMWS_STATUS_INVALID_ARGUMENT;
    pair_open(&pair, NULL, NULL);
    mailbox = pair.client_loop.mailbox;

    CHECK_STATUS(cmws_options_init(sizeof options, NULL), invalid);
    CHECK_STATUS(cmws_options_init(0, &options), invalid);
    CHECK_STATUS(cmws_options_set(NULL, "read_limit", 10, 1e6), invalid);
    CHECK_STATUS(cmws_options_set(&options, NULL, 3, 1), invalid);
    CHECK_STATUS(cmws_options_set(&options, NULL, 0, 1), invalid);
    CHECK_STATUS(cmws_mailbox_new(NULL), invalid);
    CHECK_STATUS(cmws_mailbox_fd(mailbox, NULL), invalid);
    CHECK_STATUS(cmws_mailbox_poll(mailbox, 0, NULL, sizeof event, 1, &count), invalid);
    CHECK_STATUS(cmws_mailbox_poll(mailbox, 0, &event, 0, 1, &count), invalid);
    CHECK_STATUS(cmws_mailbox_poll(mailbox, 0, &event, sizeof event, 1, NULL), invalid);
    CHECK_STATUS(cmws_mailbox_connect(mailbox, NULL, 5, NULL, 0, NULL, &out), invalid);
    CHECK_STATUS(cmws_mailbox_connect(mailbox, "ws://127.0.0.1:1", 16, NULL, 1, NULL, &out),
                 invalid);
    CHECK_STATUS(cmws_mailbox_connect(mailbox, "ws://127.0.0.1:1", 16, NULL, 0, NULL, NULL),
                 invalid);
    CHECK_STATUS(cmws_mailbox_listen(mailbox, NULL, 5, 0, NULL, &out), invalid);
    CHECK_STATUS(cmws_mailbox_listen(mailbox, "127.0.0.1", 9, 0, NULL, NULL), invalid);
    CHECK_STATUS(cmws_listener_address(pair.listener, sizeof address, NULL), invalid);
    CHECK_STATUS(cmws_listener_address(pair.listener, 0, &address), invalid);
    CHECK_STATUS(cmws_listener_accept(pair.listener, NULL, 1, &count), invalid);
    CHECK_STATUS(cmws_listener_accept(pair.listener, &out, 1, NULL), invalid);
    CHECK_STATUS(cmws_listener_close(pair.listener, NULL, 5), invalid);
    CHECK_STATUS(cmws_connection_info(pair.client, sizeof info, NULL), invalid);
    CHECK_STATUS(cmws_connection_info(pair.client, 0, &info), invalid);
    CHECK_STATUS(cmws_connection_header(pair.server, 0, sizeof header, NULL), invalid);
    CHECK_STATUS(cmws_connection_header(pair.server, 0, 0, &header), invalid);
    CHECK_STATUS(cmws_connection_header(pair.server, 100000, sizeof header, &header), invalid);
    CHECK_STATUS(cmws_connection_send(pair.client, CMWS_MESSAGE_TEXT, NULL, 5, 0), invalid);
    CHECK_STATUS(cmws_connection_send(pair.client, 0, (const uint8_t *)"x", 1, 0), invalid);
    CHECK_STATUS(cmws_connection_send(pair.client, 77, (const uint8_t *)"x", 1, 0), invalid);
    CHECK_STATUS(cmws_connection_receive(pair.client, NULL, sizeof message, 1, &count), invalid);
    CHECK_STATUS(cmws_connection_receive(pair.client, &message, 0, 1, &count), invalid);
    CHECK_STATUS(cmws_connection_receive(pair.client, &message, sizeof message, 1, NULL), invalid);
    CHECK_STATUS(cmws_connection_close(pair.client, 1000, NULL, 5), invalid);
    cmws_message_release(NULL, sizeof message, 0);
    cmws_message_release(NULL, sizeof message, 3);

    /* An empty message needs no pointer. */
    CHECK_OK(cmws_connection_send(pair.client, CMWS_MESSAGE_TEXT, NULL, 0, 0));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "");
}

TEST(S35_a_released_message_may_be_released_again)
{
    struct pair pair;
    cmws_message_t message;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(send_text(pair.client, "once"));
    CHECK(next_message(&pair.server_loop, pair.server, &message));
    release(&message);
    release(&message);
}

TEST(S30_options_have_names_ranges_and_defaults)
{
    cmws_options_t options = options_default();
    CHECK_INT(options.struct_size, sizeof options);
    CHECK_INT(options.open_timeout_ms, 10000);
    CHECK_INT(options.close_timeout_ms, 10000);
    CHECK_INT(options.max_message_size, 1 << 20);
    CHECK_INT(options.read_limit, 1 << 20);
    CHECK_INT(options.write_limit, 1 << 16);
    CHECK_INT(options.max_callbacks, 1024);

    CHECK_OK(cmws_options_set(&options, "open_timeout", 12, 0.25));
    CHECK_INT(options.open_timeout_ms, 250);
    CHECK_OK(cmws_options_set(&options, "close_timeout", 13, 2));
    CHECK_INT(options.close_timeout_ms, 2000);
    CHECK_OK(cmws_options_set(&options, "max_message_size", 16, 5000));
    CHECK_INT(options.max_message_size, 5000);
    CHECK_OK(cmws_options_set(&options, "read_limit", 10, 70000));
    CHECK_INT(options.read_limit, 70000);
    CHECK_OK(cmws_options_set(&options, "write_limit", 11, 70001));
    CHECK_INT(options.write_limit, 70001);
    CHECK_OK(cmws_options_set(&options, "max_callbacks", 13, 7));
    CHECK_INT(options.max_callbacks, 7);

    CHECK_STATUS(cmws_options_set(&options, "max_mesage_size", 15, 1),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS(cmws_last_error_text(), "max_mesage_size");
    CHECK_STATUS(cmws_options_set(&options, "open_timeout", 12, -1), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS(cmws_last_error_text(), "open_timeout");
    CHECK_STATUS(cmws_options_set(&options, "open_timeout", 12, NAN),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_options_set(&options, "read_limit", 10, INFINITY),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_options_set(&options, "read_limit", 10, 1e300),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_INT(options.open_timeout_ms, 250);
}

TEST(S35_options_of_another_size_are_an_error)
{
    struct loop loop;
    cmws_handle_t out;
    cmws_options_t options = options_default();
    loop_open(&loop);
    options.struct_size = 3;
    CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, "127.0.0.1", 9, 0, &options, &out),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(
        cmws_mailbox_connect(loop.mailbox, "ws://127.0.0.1:1", 16, NULL, 0, &options, &out),
        CMWS_STATUS_INVALID_ARGUMENT);
}
