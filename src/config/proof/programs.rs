//! The proof as programs read it: JSON, times in seconds.

use serde_json::{Value, json};

use super::{Amount, Bound, Outage, Proof};

/// The version of the shape.
const SCHEMA: u32 = 1;

impl Proof {
    /// For programs; times are in seconds.
    pub fn for_programs(&self) -> Value {
        let bounds = |bounds: &[Bound]| bounds.iter().map(Bound::for_programs).collect::<Vec<_>>();
        let outages = self.outages.iter().map(Outage::for_programs);
        let notes = self.notes.iter().map(|note| {
            json!({
                "gravity": note.gravity.word(),
                "keys": note.keys,
                "message": note.message,
                "remedy": note.remedy,
            })
        });
        json!({
            "schema": SCHEMA,
            "notes": notes.collect::<Vec<_>>(),
            "waits": bounds(&self.waits),
            "outages": outages.collect::<Vec<_>>(),
            "detection": bounds(&self.detection),
            "recovery": bounds(&self.recovery),
            "room": bounds(&self.room),
        })
    }
}

impl Bound {
    fn for_programs(&self) -> Value {
        let parts = self.parts.iter().map(|part| {
            let mut told = part.amount.for_programs();
            told["what"] = part.what.into();
            if !part.key.is_empty() {
                told["key"] = part.key.into();
            }
            told
        });
        summed(self.total(), self.name, self.told, parts.collect())
    }
}

impl Outage {
    /// Its parts name the bounds, of detection and recovery, that they are.
    fn for_programs(&self) -> Value {
        let parts = [
            (self.noticed, self.name, "noticed"),
            (self.replaced, self.recovery, "replaced"),
        ];
        let parts = parts.into_iter().map(|(amount, bound, what)| {
            let mut told = amount.for_programs();
            told["bound"] = bound.into();
            told["what"] = what.into();
            told
        });
        summed(self.total(), self.name, self.told, parts.collect())
    }
}

fn summed(total: Amount, name: &str, told: &str, parts: Value) -> Value {
    let mut it = total.for_programs();
    it["name"] = name.into();
    it["told"] = told.into();
    it["parts"] = parts;
    it
}

impl Amount {
    fn for_programs(self) -> Value {
        match self {
            Self::Time(length) => json!({ "seconds": length.as_secs_f64() }),
            Self::Bytes(bytes) => json!({ "bytes": bytes }),
            Self::Endless => json!({ "endless": true }),
        }
    }
}
