/* A bidder of a contract net. Its price for a unit and how many it can do stand in its configuration. */
#include "caxton.h"

static long configured(const char *key) {
    caxton_span value = caxton_config(key);
    long number = value.at ? strtol(value.at, NULL, 10) : 0;
    free((void *)value.at);
    return number;
}

/* Answers the message being handled: its sender, its conversation, its reply_with. */
#define ANSWER(message, performative, format, ...)                                                                     \
    caxton_sendf("{\"performative\":\"" performative "\",\"receiver\":%.*s,\"protocol\":\"fipa-contract-net\","    \
                 "\"conversation_id\":%.*s,\"in_reply_to\":%.*s,\"reply_with\":\"bid\",\"content\":" format "}",   \
                 (int)caxton_get(message, "sender").length, caxton_get(message, "sender").at,                          \
                 (int)caxton_get(message, "conversation_id").length, caxton_get(message, "conversation_id").at,        \
                 (int)caxton_get(message, "reply_with").length, caxton_get(message, "reply_with").at, __VA_ARGS__)

CAXTON_HANDLER(message) {
    caxton_span performative = caxton_get(message, "performative");
    if (caxton_is(performative, "cfp")) {
        long units = caxton_number(caxton_get(caxton_get(message, "content"), "units"));
        long most = configured("capacity");
        if (units > most) return ANSWER(message, "refuse", "{\"capacity\":%ld}", most);
        return ANSWER(message, "propose", "{\"price\":%ld}", units * configured("price"));
    }
    if (caxton_is(performative, "accept_proposal")) return ANSWER(message, "inform", "{\"done\":%s}", "true");
    caxton_log(caxton_is(performative, "reject_proposal") ? "not this time" : "that is no step of a contract net");
    return 0;
}
