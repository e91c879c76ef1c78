/* Keeps the mean of all numbers that it was ever sent: {"value": 3} → {"count": 1, "mean": 3}. */
import { caxton_alloc, get, load, received, reply, store } from "../include/caxton";
export { caxton_alloc };

export function handle_message(at: usize, length: i32): i32 {
  const value = get(get(received(at, length), "content"), "value");
  const number = parseFloat(value);
  if (value == "" || isNaN(number)) return reply('{"error":"expected a number as value"}');
  const kept = load("state");
  const count = 1 + (kept === null ? 0 : I32.parseInt(get(kept, "count")));
  const sum = number + (kept === null ? 0.0 : parseFloat(get(kept, "sum")));
  const code = store("state", '{"count":' + count.toString() + ',"sum":' + sum.toString() + "}");
  return code < 0 ? code : reply('{"count":' + count.toString() + ',"mean":' + (sum / count).toString() + "}");
}
