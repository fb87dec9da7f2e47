/* The header compiles alone, and included twice, as C99. */
#include <coromega_ws.h>
#include <coromega_ws.h>

int main(void)
{
    cmws_options_t options;
    return cmws_options_init(sizeof options, &options) == CMWS_STATUS_OK ? 0 : 1;
}
