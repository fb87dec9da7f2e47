/* The log in a C host: events of its mailbox. */
#include "c_host.h"

#include <string.h>

bool log_event(struct host *host, const cmws_event_t *event)
{
    if (event->kind != CMWS_EVENT_LOG)
        return false;
    host->heard++;
    if (strstr(event->text, "sesame") != NULL || strstr(event->text, "mmmmmm") != NULL)
        host_failed(host, "C: the log tells: %s", event->text);
    return true;
}

/* Returns how much the log has said since the last time. */
int chaos_log(struct host *host, int level)
{
    int heard;
    pthread_mutex_lock(&host->lock);
    if (cmws_mailbox_set_log_level(host->mailbox, (uint32_t)level) != CMWS_STATUS_OK)
        host_failed(host, "C: the log's level can't be set");
    heard = host->heard;
    host->heard = 0;
    pthread_mutex_unlock(&host->lock);
    return heard;
}
