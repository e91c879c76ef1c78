/* A key-value memory: {"set": "name", "value": any JSON} · {"get": "name"} · {"forget": "name"}.
 *
 * Keys are committed together with the reply, so they survive kill -9 of anything.
 */
#include "caxton.h"

static int32_t reply_value(caxton_span key) {
    caxton_span value = caxton_load(key);
    if (value.at == NULL) return caxton_reply("{\"found\":false}");
    size_t room = value.length + 32;
    char *json = malloc(room);
    if (json == NULL) return CAXTON_LIMIT;
    snprintf(json, room, "{\"found\":true,\"value\":%.*s}", (int)value.length, value.at);
    int32_t code = caxton_reply(json);
    free(json);
    free((void *)value.at);
    return code;
}

CAXTON_HANDLER(message) {
    caxton_span content = caxton_get(message, "content"), key;
    if ((key = caxton_get(content, "set")).length) {
        int32_t code = caxton_store(key, caxton_get(content, "value"));
        return code < 0 ? code : caxton_reply("{\"stored\":true}");
    }
    if ((key = caxton_get(content, "get")).length) return reply_value(key);
    if ((key = caxton_get(content, "forget")).length) {
        int32_t code = caxton_host_delete(key.at, key.length);
        return caxton_reply(code < 0 ? "{\"forgotten\":false}" : "{\"forgotten\":true}");
    }
    return caxton_reply("{\"error\":\"expected set, get or forget\"}");
}
