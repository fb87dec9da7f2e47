/* Messages in fragments, on the connections of a C host that come and go. */
#include "c_host.h"

#include <stdlib.h>
#include <string.h>

static const char HALF[] = "half";
enum { MARK = 4 };

bool came_whole(struct host *host, struct conn *conn, const cmws_message_t *part)
{
    if (!conn->within)
        conn->half = part->length >= MARK && memcmp(part->data, HALF, MARK) == 0;
    conn->within = part->flags & CMWS_MESSAGE_MORE;
    if (conn->half && !conn->within)
        host_failed(host, "C: a message that stayed half came whole");
    return !conn->within;
}

cmws_status_t begin(struct conn *conn, uint32_t kind, uint32_t flags, size_t size, int parts, bool finishes)
{
    uint64_t message;
    cmws_status_t status = cmws_connection_begin(conn->handle, kind, flags, &message);
    if (status == CMWS_STATUS_OK) {
        conn->message = message;
        conn->size = size;
        conn->parts = parts;
        conn->finishes = finishes;
    }
    return status;
}

static cmws_status_t write_part(struct conn *conn)
{
    size_t length = MARK + conn->size;
    uint8_t *text = malloc(length);
    cmws_status_t status;
    memset(text, 'm', length);
    if (!conn->finishes)
        memcpy(text, HALF, MARK);
    status = cmws_connection_write(conn->handle, conn->message, text, length, CMWS_SEND_NOTIFY);
    free(text);
    return status;
}

void write_on(struct host *host, struct conn *conn)
{
    cmws_status_t status = CMWS_STATUS_OK;
    if (conn->message == 0)
        return;
    if (conn->parts > 0)
        status = write_part(conn);
    else if (conn->finishes)
        status = cmws_connection_finish(conn->handle, conn->message);
    else
        cmws_connection_abandon(conn->handle, conn->message);
    if (status != CMWS_STATUS_OK && status != CMWS_STATUS_WOULD_BLOCK && status != CMWS_STATUS_CLOSED)
        host_failed(host, "C: a message in fragments: %s", cmws_status_name(status));
    if (status == CMWS_STATUS_CLOSED || (status == CMWS_STATUS_OK && conn->parts-- == 0))
        conn->message = 0;
}

cmws_status_t chaos_write(struct host *host, int n, int binary, size_t size, int parts, int finishes, int compress)
{
    struct conn *conn;
    cmws_status_t status = CMWS_STATUS_OK;
    pthread_mutex_lock(&host->lock);
    conn = conn_nth(host, n);
    if (conn != NULL)
        status = begin(conn, binary ? CMWS_MESSAGE_BINARY : CMWS_MESSAGE_TEXT,
                       compress ? 0 : CMWS_SEND_UNCOMPRESSED, size, parts, finishes);
    pthread_mutex_unlock(&host->lock);
    return status;
}
