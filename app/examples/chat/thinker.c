/* The other half of the chat: thinks of a number (its configuration's) and says of each guess: more, less or right. */
#include "caxton.h"

CAXTON_HANDLER(message) {
    caxton_span number = caxton_config("number"), guess = caxton_get(caxton_get(message, "content"), "guess");
    if (number.at == NULL || !guess.length) return caxton_reply("{\"error\":\"expected a guess, and a number to guess\"}");
    long wanted = strtol(number.at, NULL, 10), given = caxton_number(guess);
    free((void *)number.at);
    return caxton_replyf("{\"hint\":\"%s\"}", given < wanted ? "more" : given > wanted ? "less" : "right");
}
