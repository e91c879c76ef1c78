//! caxton.rs: write a Caxton reactor agent in Rust, with the standard library only.
//!
//! ```text
//! #[path = "../include/caxton.rs"]
//! mod caxton;
//! fn handle(message: &str) -> Result<(), i32> {
//!     caxton::reply(&format!("{{\"you said\":{}}}", caxton::get(message, "content").unwrap_or("null")))
//! }
//! caxton::agent!(handle);
//! ```
//!
//! Build with: rustc --edition 2021 --target wasm32-wasi --crate-type cdylib -O -C linker=wasm-ld -o agent.wasm agent.rs
#![allow(dead_code)] // an agent uses what it needs

/// A key, timer or secret that is not there.
pub const NOT_FOUND: i32 = -4;

mod host {
    #[link(wasm_import_module = "caxton")]
    extern "C" {
        pub fn reply(at: *const u8, length: usize) -> i32;
        pub fn send_message(at: *const u8, length: usize) -> i32;
        pub fn store_data(k: *const u8, klen: usize, v: *const u8, vlen: usize) -> i32;
        pub fn load_data(k: *const u8, klen: usize, buf: *mut u8, cap: usize) -> i32;
        pub fn console_log(at: *const u8, length: usize);
    }
}

fn checked(code: i32) -> Result<(), i32> {
    if code < 0 { Err(code) } else { Ok(()) }
}

/// Answers the message with JSON text; `Err` is the host's code.
pub fn reply(json: &str) -> Result<(), i32> {
    checked(unsafe { host::reply(json.as_ptr(), json.len()) })
}

/// Sends a message, written as JSON.
pub fn send(json: &str) -> Result<(), i32> {
    checked(unsafe { host::send_message(json.as_ptr(), json.len()) })
}

/// Writes one line to the agent's log.
pub fn log(text: &str) {
    unsafe { host::console_log(text.as_ptr(), text.len()) }
}

/// Stores a key, committed together with the reply.
pub fn store(key: &str, value: &[u8]) -> Result<(), i32> {
    checked(unsafe { host::store_data(key.as_ptr(), key.len(), value.as_ptr(), value.len()) })
}

/// A key's value, or `None`.
pub fn load(key: &str) -> Option<Vec<u8>> {
    let length = unsafe { host::load_data(key.as_ptr(), key.len(), std::ptr::null_mut(), 0) };
    if length < 0 {
        return None;
    }
    let mut value = vec![0; length as usize];
    unsafe { host::load_data(key.as_ptr(), key.len(), value.as_mut_ptr(), value.len()) };
    Some(value)
}

/// The JSON value of `key` in the object `json`, as text. The node sends well-formed JSON.
pub fn get<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let mut rest = json.trim_start().strip_prefix('{')?.trim_start();
    while rest.starts_with('"') {
        let (name, after) = rest.split_at(end(rest));
        rest = after.trim_start().strip_prefix(':')?.trim_start();
        let (value, after) = rest.split_at(end(rest));
        if &name[1..name.len() - 1] == key {
            return Some(value);
        }
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    None
}

/// A JSON string without escapes, as text.
pub fn text(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"').filter(|inside| !inside.contains('\\'))
}

/// Where the JSON value at the start of `json` ends.
fn end(json: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in json.char_indices() {
        match (quoted, c) {
            (true, _) if escaped => escaped = false,
            (true, '\\') => escaped = true,
            (true, '"') => {
                quoted = false;
                if depth == 0 {
                    return at + 1;
                }
            }
            (true, _) => {}
            (false, '"') => quoted = true,
            (false, '{' | '[') => depth += 1,
            (false, '}' | ']') if depth == 0 => return at,
            (false, '}' | ']') => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            (false, ',' | ' ' | '\n' | '\t' | '\r') if depth == 0 => return at,
            _ => {}
        }
    }
    json.len()
}

/// Room for a message; `agent!` exports it.
pub fn alloc(length: usize) -> *mut u8 {
    Box::leak(vec![0; length].into_boxed_slice()).as_mut_ptr()
}

/// Takes back what `alloc` gave, as text, and hands it to `handler`.
///
/// # Safety
/// `at` and `length` are those of an `alloc`, once.
pub unsafe fn receive(at: *mut u8, length: usize, handler: fn(&str) -> Result<(), i32>) -> i32 {
    let message = Box::from_raw(std::ptr::slice_from_raw_parts_mut(at, length));
    match std::str::from_utf8(&message).map_err(|_| 1).and_then(handler) {
        Ok(()) => 0,
        Err(code) => code,
    }
}

/// Exports what the node calls; `$handler` is `fn(&str) -> Result<(), i32>`.
macro_rules! agent {
    ($handler:path) => {
        #[no_mangle]
        pub extern "C" fn caxton_alloc(length: usize) -> *mut u8 {
            caxton::alloc(length)
        }
        #[no_mangle]
        pub extern "C" fn handle_message(at: *mut u8, length: usize) -> i32 {
            unsafe { caxton::receive(at, length, $handler) }
        }
    };
}
pub(crate) use agent;
