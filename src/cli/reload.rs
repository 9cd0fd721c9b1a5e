//! `leeward reload`: has a running Leeward read its configuration and its certificates again, and says what came of it.

use serde_json::{Value, json};

use super::ask::{NoAnswer, order};
use super::verbs::{Where, door, told};
use super::{BAD_CONFIG, FAILED, FINE, say};

/// Has it read, and prints what was taken, or every fault.
pub fn reload(place: &Where) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let door = match door(place) {
        Ok(door) => door,
        Err(error) => return failed(&error),
    };
    let answer = match runtime.block_on(order(&door, "/reload")) {
        Ok(answer) => answer,
        Err(error) => {
            let is_faulty =
                matches!(&error, NoAnswer::Refused(status, _) if status.as_u16() == 422);
            let told = told(error);
            return match is_faulty {
                true => faulty(&told, place),
                false => failed(&told),
            };
        }
    };
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let done = answer["done"].as_str().unwrap_or_default();
    say(&match place.wants_json() {
        true => json!({ "verb": "reload", "done": done }).to_string(),
        false => done.to_owned(),
    });
    FINE
}

fn faulty(faults: &str, place: &Where) -> u8 {
    if place.wants_json() {
        say(&json!({ "verb": "reload", "error": faults }).to_string());
    }
    eprintln!("{faults}\nleeward reload: nothing was taken; what runs was not changed");
    BAD_CONFIG
}

fn failed(error: &str) -> u8 {
    eprintln!("leeward reload: {error}");
    FAILED
}
