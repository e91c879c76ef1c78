/* caxton.h: write a Caxton reactor agent in ten lines of C.
 *
 * Include it in exactly one file of the agent, define CAXTON_HANDLER, build with
 *   clang --target=wasm32-wasi -mexec-model=reactor -O2 -I include -o agent.wasm agent.c
 * The ABI behind it (exports, imports, return codes) is in docs of the node: `caxton agent validate --help`.
 *
 *   #include "caxton.h"
 *   static int count;
 *   CAXTON_HANDLER(message) {
 *       return caxton_replyf("{\"count\":%d}", ++count);
 *   }
 */
#ifndef CAXTON_H
#define CAXTON_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAXTON_IMPORT(name) __attribute__((import_module("caxton"), import_name(name)))
#define CAXTON_EXPORT(name) __attribute__((export_name(name), visibility("default"), used))

/* Return codes of host functions; 0 and above is success. */
enum {
    CAXTON_DENIED = -1,      /* no grant */
    CAXTON_INVALID = -2,     /* pointer, length or value */
    CAXTON_LIMIT = -3,       /* a limit of the agent, or a full mailbox */
    CAXTON_NOT_FOUND = -4,   /* no such key, timer or secret */
    CAXTON_TOO_SMALL = -5,   /* the buffer */
    CAXTON_UNAVAILABLE = -6, /* not offered by this node now */
    CAXTON_TIMEOUT = -7,     /* no reply or answer in time */
    CAXTON_DEADLOCK = -8     /* the other agent waits for this one */
};

/* The host functions, as they are. */
CAXTON_IMPORT("reply") int32_t caxton_host_reply(const void *ptr, uint32_t len);
CAXTON_IMPORT("send_message") int32_t caxton_host_send(const void *ptr, uint32_t len);
CAXTON_IMPORT("broadcast_message")
int32_t caxton_host_broadcast(const void *filter, uint32_t flen, const void *ptr, uint32_t len);
CAXTON_IMPORT("subscribe_messages") int32_t caxton_host_subscribe(const void *ptr, uint32_t len);
CAXTON_IMPORT("request") int32_t caxton_host_request(const void *ptr, uint32_t len, void *buf, uint32_t cap);
CAXTON_IMPORT("read_reply") int32_t caxton_host_read_reply(void *buf, uint32_t cap);
CAXTON_IMPORT("http_request") int32_t caxton_host_http(const void *ptr, uint32_t len, void *buf, uint32_t cap);
CAXTON_IMPORT("store_data") int32_t caxton_host_store(const void *k, uint32_t klen, const void *v, uint32_t vlen);
CAXTON_IMPORT("load_data") int32_t caxton_host_load(const void *k, uint32_t klen, void *buf, uint32_t cap);
CAXTON_IMPORT("delete_data") int32_t caxton_host_delete(const void *k, uint32_t klen);
CAXTON_IMPORT("set_timer") int32_t caxton_set_timer(int64_t delay_us);
CAXTON_IMPORT("cancel_timer") int32_t caxton_cancel_timer(int32_t timer_id);
CAXTON_IMPORT("current_timestamp") int64_t caxton_now_us(void);
CAXTON_IMPORT("random_u32") int32_t caxton_random(void);
CAXTON_IMPORT("sleep_micros") int32_t caxton_sleep_us(int64_t us);
CAXTON_IMPORT("get_config") int32_t caxton_host_config(const void *k, uint32_t klen, void *buf, uint32_t cap);
CAXTON_IMPORT("get_secret") int32_t caxton_get_secret(const void *name, uint32_t nlen, void *buf, uint32_t cap);
CAXTON_IMPORT("console_log") void caxton_host_log(const void *ptr, uint32_t len);

/* A stretch of bytes inside the message; not terminated by zero. */
typedef struct {
    const char *at;
    uint32_t length;
} caxton_span;

/* ---- sending ------------------------------------------------------------------------------------ */

/* Writes one line to the agent's log. */
static inline void caxton_log(const char *text) { caxton_host_log(text, (uint32_t)strlen(text)); }

/* Answers the message with JSON text. Returns 0, or the host's code. */
static inline int32_t caxton_reply(const char *json) { return caxton_host_reply(json, (uint32_t)strlen(json)); }

/* Answers with formatted JSON text of at most 4,095 bytes; CAXTON_TOO_SMALL beyond. */
__attribute__((format(printf, 1, 2))) static inline int32_t caxton_replyf(const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text) return CAXTON_TOO_SMALL;
    return caxton_host_reply(text, (uint32_t)length);
}

/* Sends a message, formatted as JSON text of at most 4,095 bytes; it leaves when the handler has returned 0. */
__attribute__((format(printf, 1, 2))) static inline int32_t caxton_sendf(const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text) return CAXTON_TOO_SMALL;
    return caxton_host_send(text, (uint32_t)length);
}

/* Sends a message at once and waits for its reply, which comes into a block that the caller frees. `at` is NULL when
 * there is none; `length` is then the host's code as an unsigned number, or 0 for "handled, without a reply". */
__attribute__((format(printf, 1, 2))) static inline caxton_span caxton_requestf(const char *format, ...) {
    caxton_span reply = {NULL, (uint32_t)CAXTON_TOO_SMALL};
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text) return reply;
    int32_t full = caxton_host_request(text, (uint32_t)length, NULL, 0);
    reply.length = (uint32_t)full;
    char *block = full > 0 ? malloc((size_t)full) : NULL;
    if (block == NULL) return reply;
    caxton_host_read_reply(block, (uint32_t)full);
    reply.at = block;
    return reply;
}

/* A value of the agent's `config` table into a block that the caller frees; `at` is NULL when there is none. */
static inline caxton_span caxton_config(const char *key) {
    caxton_span value = {NULL, 0};
    int32_t length = caxton_host_config(key, (uint32_t)strlen(key), NULL, 0);
    char *block = length < 0 ? NULL : malloc((size_t)length + 1);
    if (block == NULL) return value;
    caxton_host_config(key, (uint32_t)strlen(key), block, (uint32_t)length);
    block[length] = 0;
    value.at = block;
    value.length = (uint32_t)length;
    return value;
}

/* ---- reading JSON ------------------------------------------------------------------------------- */

static inline const char *caxton_skip_space(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) at++;
    return at;
}

/* The end of the JSON value that starts at `at`. The node sends well-formed JSON. */
static inline const char *caxton_skip_value(const char *at, const char *end) {
    int depth = 0, quoted = 0;
    for (; at < end; at++) {
        if (quoted) {
            if (*at == '\\') at++;
            else if (*at == '"') {
                quoted = 0;
                if (depth == 0) return at + 1;
            }
        } else if (*at == '"') quoted = 1;
        else if (*at == '{' || *at == '[') depth++;
        else if (*at == '}' || *at == ']') {
            if (depth == 0) return at;
            if (--depth == 0) return at + 1;
        } else if (depth == 0 && (*at == ',' || *at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) return at;
    }
    return end;
}

/* The raw JSON value of `key` in the object `json`; length 0 when it is not there or `json` is no object. */
static inline caxton_span caxton_get(caxton_span json, const char *key) {
    caxton_span nothing = {NULL, 0};
    const char *at = json.at, *end = json.at + json.length;
    size_t wanted = strlen(key);
    at = caxton_skip_space(at, end);
    if (at >= end || *at != '{') return nothing;
    at++;
    while ((at = caxton_skip_space(at, end)) < end && *at == '"') {
        const char *name = at + 1, *after = caxton_skip_value(at, end);
        size_t length = (size_t)(after - name - 1);
        at = caxton_skip_space(after, end);
        if (at >= end || *at != ':') return nothing;
        at = caxton_skip_space(at + 1, end);
        after = caxton_skip_value(at, end);
        if (length == wanted && memcmp(name, key, wanted) == 0) {
            caxton_span value = {at, (uint32_t)(after - at)};
            return value;
        }
        at = caxton_skip_space(after, end);
        if (at < end && *at == ',') at++;
    }
    return nothing;
}

/* The raw JSON value as a whole number; 0 when it is none. The byte after it belongs to the message: it ends it. */
static inline long caxton_number(caxton_span value) { return value.length ? strtol(value.at, NULL, 10) : 0; }

/* What is between the quotes of a raw JSON string, escapes as they are; empty for all else. */
static inline caxton_span caxton_text(caxton_span value) {
    caxton_span nothing = {value.at, 0}, inside = {value.at + 1, value.length - 2};
    return value.length >= 2 && value.at[0] == '"' ? inside : nothing;
}

/* Whether the raw JSON value is the string `text` (without escapes). */
static inline int caxton_is(caxton_span value, const char *text) {
    size_t length = strlen(text);
    return value.length == length + 2 && value.at[0] == '"' && memcmp(value.at + 1, text, length) == 0;
}

/* ---- keys: they survive restarts; committed together with the reply ------------------------------- */

/* Stores a value; 0, or the host's code. */
static inline int32_t caxton_store(caxton_span key, caxton_span value) {
    return caxton_host_store(key.at, key.length, value.at, value.length);
}

/* Loads a value into a block that the caller frees; `at` is NULL when there is none. */
static inline caxton_span caxton_load(caxton_span key) {
    caxton_span value = {NULL, 0};
    int32_t length = caxton_host_load(key.at, key.length, NULL, 0);
    if (length < 0) return value;
    char *block = malloc((size_t)length + 1);
    if (block == NULL) return value;
    length = caxton_host_load(key.at, key.length, block, (uint32_t)length);
    if (length < 0) {
        free(block);
        return value;
    }
    block[length] = 0;
    value.at = block;
    value.length = (uint32_t)length;
    return value;
}

/* ---- what the node calls ------------------------------------------------------------------------ */

static int32_t caxton_on_message(caxton_span message);

CAXTON_EXPORT("caxton_alloc") void *caxton_alloc(uint32_t length) { return malloc(length ? length : 1); }

CAXTON_EXPORT("handle_message") int32_t caxton_handle_message(char *at, uint32_t length) {
    caxton_span message = {at, length};
    int32_t code = caxton_on_message(message);
    free(at);
    return code < 0 ? code : 0;
}

/* Defines the handler: its block gets `name`, the whole message as JSON, and returns 0 or an error code. */
#define CAXTON_HANDLER(name) static int32_t caxton_on_message(caxton_span name)

#endif
