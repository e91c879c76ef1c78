/* A persistent counter: what it counts lives in its memory, as long as the instance does. */
#include "caxton.h"

static int count;

CAXTON_HANDLER(message) {
    (void)message;
    return caxton_replyf("{\"count\":%d}", ++count);
}
