//! Which incident is meant. Pure.

/// What stands for the newest one.
const LAST: &str = "last";

/// The name that is meant by `asked` among `names`, the newest first: a whole name, `last`, or the beginning of one
/// name alone.
///
/// # Errors
/// A sentence for the user.
pub fn choose(asked: &str, names: &[String]) -> Result<String, String> {
    // As the files are called.
    let asked = asked.strip_suffix(".json").unwrap_or(asked);
    if asked == LAST {
        return names
            .first()
            .cloned()
            .ok_or("there are no incidents".to_owned());
    }
    if let Some(name) = names.iter().find(|name| *name == asked) {
        return Ok(name.clone());
    }
    let begun: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with(asked))
        .collect();
    match begun[..] {
        [name] => Ok(name.clone()),
        [] => Err(format!(
            "there is no incident {asked:?}; `leeward incidents` lists them"
        )),
        [first, .., last] => Err(format!(
            "{asked:?} is the beginning of {} incidents, from {last} to {first}; write more of it",
            begun.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_its_beginning_or_the_last() {
        let names = [
            "20260131T2-2-exited",
            "20260131T1-1-stopped",
            "20260130T1-1-exited",
        ];
        let names = names.map(str::to_owned);
        let chosen = |asked| choose(asked, &names);
        assert_eq!(chosen("last").as_deref(), Ok("20260131T2-2-exited"));
        assert_eq!(chosen("20260130").as_deref(), Ok("20260130T1-1-exited"));
        assert_eq!(
            chosen("20260131T1-1-stopped.json").as_deref(),
            Ok("20260131T1-1-stopped")
        );
        let several = chosen("20260131").unwrap_err();
        assert!(several.contains("beginning of 2 incidents"), "{several}");
        assert!(chosen("../x").unwrap_err().contains("no incident"));
        assert!(choose("last", &[]).is_err());
        assert!(choose("", &names).is_err());
    }
}
