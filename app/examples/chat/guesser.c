/* One half of a chat: finds the number that its partner thinks of. {"most": 100} → {"number": 42, "guesses": [50, …]}.
 *
 * Each guess is a `request`: while it waits for the answer it holds nothing but its own few kilobytes.
 */
#include "caxton.h"

CAXTON_HANDLER(message) {
    long low = 1, high = caxton_number(caxton_get(caxton_get(message, "content"), "most"));
    char guesses[2048] = "";
    size_t used = 0;
    if (high < 1) return caxton_reply("{\"error\":\"what is the largest number?\"}");
    while (low <= high) {
        long guess = low + (high - low) / 2;
        used += (size_t)snprintf(guesses + used, sizeof guesses - used, "%s%ld", used ? "," : "", guess);
        caxton_span reply = caxton_requestf(
            "{\"performative\":\"query_if\",\"receiver\":\"thinker\",\"content\":{\"guess\":%ld}}", guess);
        if (reply.at == NULL) return caxton_reply("{\"error\":\"thinker does not answer\"}");
        caxton_span hint = caxton_get(caxton_get(reply, "content"), "hint");
        int found = caxton_is(hint, "right");
        if (caxton_is(hint, "more")) low = guess + 1;
        else high = guess - 1;
        free((void *)reply.at);
        if (found) return caxton_replyf("{\"number\":%ld,\"guesses\":[%s]}", guess, guesses);
    }
    return caxton_replyf("{\"error\":\"it is none of them\",\"guesses\":[%s]}", guesses);
}
