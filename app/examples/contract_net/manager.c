/* The manager of a contract net: {"units": 4} goes to whichever bidder does it for least.
 *
 * Every bidder gets a call for proposals and answers with a price, or refuses. The best bid is accepted and the work
 * awaited, the others are rejected. Who bids stands in the configuration: "bidders": ["cheap", "quick"]. All
 * of it is one conversation, named after the message that brought the task; with each bidder: cfp, propose or refuse,
 * accept_proposal or reject_proposal, inform or failure.
 */
#include "caxton.h"

#define MOST 16
#define NET "\"protocol\":\"fipa-contract-net\""

typedef struct {
    caxton_span name, proposal; /* `proposal` is the whole message, or nothing: it refused */
    long price;
} bid;

/* The next string of a JSON array; `*at` moves on. Length 0 at the end. */
static caxton_span next_name(const char **at, const char *end) {
    while (*at < end && **at != '"') (*at)++;
    caxton_span raw = {*at, 0};
    if (*at < end) raw.length = (uint32_t)(caxton_skip_value(*at, end) - *at);
    *at += raw.length;
    return caxton_text(raw);
}

static bid call_for_proposal(caxton_span name, caxton_span task, caxton_span id) {
    bid made = {name, {NULL, 0}, 0};
    caxton_span answer = caxton_requestf(
        "{\"performative\":\"cfp\",\"receiver\":\"%.*s\"," NET ",\"conversation_id\":\"%.*s-net\","
        "\"reply_with\":\"cfp\",\"content\":%.*s}",
        (int)name.length, name.at, (int)id.length, id.at, (int)task.length, task.at);
    if (answer.at == NULL) return made;
    if (!caxton_is(caxton_get(answer, "performative"), "propose")) {
        free((void *)answer.at);
        return made;
    }
    made.proposal = answer;
    made.price = caxton_number(caxton_get(caxton_get(answer, "content"), "price"));
    return made;
}

/* What an answer to this message names as in_reply_to: its reply_with, or its id if it asked for nothing else. */
static caxton_span correlation(caxton_span message) {
    caxton_span wanted = caxton_get(message, "reply_with");
    return wanted.length ? wanted : caxton_get(message, "message_id");
}

/* Tells a bidder what became of its proposal: in answer to that proposal, in its conversation. */
#define DECIDE(tell, bid, performative, more)                                                                          \
    tell("{\"performative\":\"" performative "\",\"receiver\":\"%.*s\"," NET ",\"conversation_id\":%.*s,"            \
         "\"in_reply_to\":%.*s" more "}",                                                                             \
         (int)(bid).name.length, (bid).name.at, (int)caxton_get((bid).proposal, "conversation_id").length,             \
         caxton_get((bid).proposal, "conversation_id").at, (int)correlation((bid).proposal).length,                    \
         correlation((bid).proposal).at)

/* Accepts the best bid, rejects the others, waits for the work and answers with its result. */
static int32_t award(bid *bids, int count, bid *best) {
    for (int i = 0; i < count; i++)
        if (bids[i].proposal.at && &bids[i] != best) DECIDE(caxton_sendf, bids[i], "reject_proposal", "");
    caxton_span done = DECIDE(caxton_requestf, *best, "accept_proposal", ",\"reply_with\":\"work\"");
    if (done.at == NULL) return caxton_reply("{\"error\":\"the winner did not answer\"}");
    caxton_span performative = caxton_get(done, "performative"), result = caxton_get(done, "content");
    int32_t code = caxton_replyf("{\"winner\":\"%.*s\",\"price\":%ld,\"bids\":%d,\"ended\":%.*s,\"result\":%.*s}",
                                 (int)best->name.length, best->name.at, best->price, count, (int)performative.length,
                                 performative.at, (int)result.length, result.at);
    free((void *)done.at);
    return code;
}

CAXTON_HANDLER(message) {
    caxton_span task = caxton_get(message, "content"), id = caxton_text(caxton_get(message, "message_id"));
    bid bids[MOST], *best = NULL;
    int count = 0;
    if (!caxton_get(task, "units").length) return caxton_reply("{\"error\":\"how many units?\"}");
    caxton_span bidders = caxton_config("bidders");
    const char *at = bidders.at, *end = bidders.at + bidders.length;
    for (caxton_span name; count < MOST && (name = next_name(&at, end)).length; count++) {
        bids[count] = call_for_proposal(name, task, id);
        if (bids[count].proposal.at && (best == NULL || bids[count].price < best->price)) best = &bids[count];
    }
    int32_t code = best ? award(bids, count, best) : caxton_reply("{\"error\":\"nobody wants to do that\"}");
    for (int i = 0; i < count; i++) free((void *)bids[i].proposal.at);
    free((void *)bidders.at);
    return code;
}
