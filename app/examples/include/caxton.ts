/* caxton.ts: write a Caxton reactor agent in AssemblyScript.
 *
 *   import { caxton_alloc, get, received, reply } from "../include/caxton";
 *   export { caxton_alloc };
 *   export function handle_message(at: usize, length: i32): i32 {
 *     return reply('{"you said":' + get(received(at, length), "content") + "}");
 *   }
 *
 * Build with: asc agent.ts -o agent.wasm -O --use abort=
 */

/* Return codes of host functions; 0 and above is success. */
export const DENIED: i32 = -1; // no grant
export const INVALID: i32 = -2; // pointer, length or value
export const LIMIT: i32 = -3; // a limit of the agent, or a full mailbox
export const NOT_FOUND: i32 = -4; // no such key, timer or secret
export const UNAVAILABLE: i32 = -6; // not offered by this node now

@external("caxton", "reply") declare function host_reply(at: usize, length: i32): i32;
@external("caxton", "send_message") declare function host_send(at: usize, length: i32): i32;
@external("caxton", "store_data") declare function host_store(k: usize, klen: i32, v: usize, vlen: i32): i32;
@external("caxton", "load_data") declare function host_load(k: usize, klen: i32, buf: usize, cap: i32): i32;
@external("caxton", "console_log") declare function host_log(at: usize, length: i32): void;

let block: StaticArray<u8> = new StaticArray<u8>(0);

/* Room for a message, kept until the next one: the node writes one at a time. */
export function caxton_alloc(length: i32): usize {
  block = new StaticArray<u8>(length);
  return changetype<usize>(block);
}

/* The message that the node wrote, as JSON text. */
export function received(at: usize, length: i32): string {
  return String.UTF8.decodeUnsafe(at, length);
}

/* Answers the message with JSON text. Returns 0, or the host's code. */
export function reply(json: string): i32 {
  const data = String.UTF8.encode(json);
  return host_reply(changetype<usize>(data), data.byteLength);
}

/* Sends a message, written as JSON. Returns 0, or the host's code. */
export function send(json: string): i32 {
  const data = String.UTF8.encode(json);
  return host_send(changetype<usize>(data), data.byteLength);
}

/* Writes one line to the agent's log. */
export function log(text: string): void {
  const data = String.UTF8.encode(text);
  host_log(changetype<usize>(data), data.byteLength);
}

/* Stores a key, committed together with the reply. Returns 0, or the host's code. */
export function store(key: string, value: string): i32 {
  const k = String.UTF8.encode(key), v = String.UTF8.encode(value);
  return host_store(changetype<usize>(k), k.byteLength, changetype<usize>(v), v.byteLength);
}

/* A key's value, or null. */
export function load(key: string): string | null {
  const k = String.UTF8.encode(key);
  const length = host_load(changetype<usize>(k), k.byteLength, 0, 0);
  if (length < 0) return null;
  const data = new ArrayBuffer(length);
  host_load(changetype<usize>(k), k.byteLength, changetype<usize>(data), length);
  return String.UTF8.decode(data);
}

/* The JSON value of `key` in the object `json`, as text; empty when there is none. */
export function get(json: string, key: string): string {
  let at = space(json, 0);
  if (code(json, at) != OPEN) return "";
  at = space(json, at + 1);
  while (code(json, at) == QUOTE) {
    const end = skip(json, at);
    const name = json.substring(at + 1, end - 1);
    at = space(json, space(json, end) + 1); // the colon
    const after = skip(json, at);
    if (name == key) return json.substring(at, after);
    at = space(json, after);
    if (code(json, at) == COMMA) at = space(json, at + 1);
  }
  return "";
}

const QUOTE: i32 = 0x22, COMMA: i32 = 0x2c, BACKSLASH: i32 = 0x5c, OPEN: i32 = 0x7b, CLOSE: i32 = 0x7d;
const OPEN_LIST: i32 = 0x5b, CLOSE_LIST: i32 = 0x5d;

/* Characters as numbers: a string for each of them would be garbage to collect. */
function code(json: string, at: i32): i32 {
  return at < json.length ? json.charCodeAt(at) : 0;
}

function space(json: string, at: i32): i32 {
  while (at < json.length && code(json, at) <= 32) at++;
  return at;
}

/* Where the JSON value at `at` ends. The node sends well-formed JSON. */
function skip(json: string, at: i32): i32 {
  let depth = 0, quoted = false;
  for (; at < json.length; at++) {
    const c = code(json, at);
    if (quoted) {
      if (c == BACKSLASH) at++;
      else if (c == QUOTE) {
        quoted = false;
        if (depth == 0) return at + 1;
      }
    } else if (c == QUOTE) quoted = true;
    else if (c == OPEN || c == OPEN_LIST) depth++;
    else if (c == CLOSE || c == CLOSE_LIST) {
      if (depth == 0) return at;
      if (--depth == 0) return at + 1;
    } else if (depth == 0 && (c == COMMA || c <= 32)) return at;
  }
  return at;
}
