//! Counts votes, one key for each choice: {"vote": "tea"} → {"choice": "tea", "votes": 1}.
#[path = "../include/caxton.rs"]
mod caxton;

fn handle(message: &str) -> Result<(), i32> {
    let content = caxton::get(message, "content").unwrap_or("null");
    let choice = match caxton::get(content, "vote").and_then(caxton::text) {
        Some(choice) if !choice.is_empty() => choice,
        _ => return caxton::reply(r#"{"error":"expected a choice as vote"}"#),
    };
    let before = caxton::load(choice).and_then(|kept| String::from_utf8(kept).ok()?.parse().ok()).unwrap_or(0_u64);
    caxton::store(choice, (before + 1).to_string().as_bytes())?;
    caxton::reply(&format!(r#"{{"choice":"{choice}","votes":{}}}"#, before + 1))
}

caxton::agent!(handle);
