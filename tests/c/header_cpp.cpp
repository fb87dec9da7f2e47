// The header compiles alone, and included twice, as C++11.
#include <coromega_ws.h>
#include <coromega_ws.h>

int main()
{
    cmws_handle_t mailbox = 0;
    if (cmws_mailbox_new(&mailbox) != CMWS_STATUS_OK)
        return 1;
    return cmws_mailbox_close(mailbox) == CMWS_STATUS_OK ? 0 : 1;
}
