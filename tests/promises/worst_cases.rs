//! What `leeward check` says is the worst case is never exceeded.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::brought_on::signalled;
use crate::house::{DUE, behind, configuration, incidents, sick};
use crate::observed::told;
use crate::support::origin::processed;
use crate::support::starving::Strain;
use crate::support::{Leeward, free_port, h1, leeward, tell_skipped};

/// Some settings that are sure soon, and others that are sure sooner.
const SETTINGS: [&str; 2] = [
    "[hang]\ncertain = \"600ms\"\nsilent = \"1500ms\"\n\
     [origin.probe]\nevery = \"700ms\"\ntimeout = \"500ms\"\nsuspect_every = \"200ms\"\n",
    "[hang]\ncertain = \"300ms\"\nsilent = \"900ms\"\n\
     [origin.probe]\nevery = \"300ms\"\ntimeout = \"300ms\"\nsuspect_every = \"100ms\"\n",
];

/// What `leeward check --json` says of the configuration that this one runs with.
fn checked(leeward: &Leeward) -> Value {
    let file = leeward.directory().join("leeward.toml");
    proof(&file)
}

fn proof(file: &Path) -> Value {
    let output = leeward(&["check", "--json", file.to_str().expect("a plain name")]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn bound_of(proof: &Value, list: &str, name: &str) -> Duration {
    let bounds = proof[list].as_array().expect("a list of bounds");
    let bound = bounds.iter().find(|bound| bound["name"] == name);
    let seconds = bound.and_then(|bound| bound["seconds"].as_f64());
    let parts = bound.map(|bound| bound["parts"].as_array().expect("its parts").iter());
    let sum: f64 = parts
        .into_iter()
        .flatten()
        .filter_map(|part| part["seconds"].as_f64())
        .sum();
    let seconds = seconds.unwrap_or_else(|| panic!("no {name} in {list}"));
    assert!(
        (seconds - sum).abs() < 1e-6,
        "{name}: {seconds} is not {sum}"
    );
    Duration::from_secs_f64(seconds)
}

/// The recovery that the outage of this illness is said to end with.
fn after(proof: &Value, illness: &str) -> String {
    let outages = proof["outages"].as_array().expect("a list of outages");
    let outage = outages.iter().find(|outage| outage["name"] == illness);
    let bound = outage.and_then(|outage| outage["parts"][1]["bound"].as_str());
    bound.expect("what it is replaced by").to_owned()
}

/// One way to fall ill.
struct Illness {
    /// Its bound.
    name: &'static str,
    verdict: &'static str,
    /// What the origin is started by.
    front: &'static [&'static str],
    /// Makes it so, and says when it was.
    brought_on: fn(&Leeward) -> Instant,
}

/// How it was: from the illness to the verdict, as seen from outside and as the incident has it, and the bound.
struct Seen {
    outside: Duration,
    told: Duration,
    bound: Duration,
    recovered: Duration,
    /// What spoke for the verdict.
    facts: String,
}

impl Seen {
    fn is_within(&self) -> bool {
        self.told <= self.bound && self.outside <= self.bound + EVIDENCE
    }

    fn tell(&self, name: &str) {
        let [outside, told, bound, recovered] =
            [self.outside, self.told, self.bound, self.recovered].map(|it| it.as_secs_f64());
        println!(
            "| {name} | {outside:.2} s | {told:.2} s told | {bound:.2} s at the most | served again {recovered:.2} s after it |"
        );
    }
}

/// Bounds are for hosts that have a processor to spare: where there was none, it is tried again; and where Leeward said so
/// each time, it has promised nothing.
fn endure(illness: &Illness, settings: &str) -> Result<(), String> {
    const TRIES: usize = 5;
    let mut admitted = 0;
    for _ in 0..TRIES {
        let strain = Strain::begin();
        let why = match suffer(illness, settings) {
            Ok(seen) => {
                seen.tell(illness.name);
                if seen.is_within() {
                    return Ok(());
                }
                let Seen {
                    outside,
                    told,
                    bound,
                    facts,
                    ..
                } = seen;
                format!("{outside:?} and {told:?} of {bound:?}: {facts}")
            }
            Err(why) => why,
        };
        let (share, name) = (strain.share(), illness.name);
        let told = format!("{name}: {why}; tasks waited for a processor {share:.2} of the time");
        if !strain.is_too_much() {
            return Err(told);
        }
        admitted += usize::from(why.contains("the host waits for processors"));
        println!("{told}");
    }
    if admitted == TRIES {
        return Ok(());
    }
    tell_skipped(
        illness.name,
        "this host had no processor to spare in any try",
    );
    Ok(())
}

fn suffer(illness: &Illness, settings: &str) -> Result<Seen, String> {
    let front = illness.front.iter().map(|word| (*word).to_owned());
    let command: Vec<_> = front.chain(sick(&[])).collect();
    let process = "[origin.process]";
    let config = configuration(&command, free_port(), settings);
    let serial = config.replacen(process, &format!("concurrency = 1\n{process}"), 1);
    let leeward = Leeward::start(&serial);
    leeward.wait_log("origin ready", DUE);
    let proof = checked(&leeward);
    // Not in step with the probes.
    std::thread::sleep(Duration::from_millis(u64::from(leeward.pid()) % 400));
    let begun = (illness.brought_on)(&leeward);
    let bound = bound_of(&proof, "detection", illness.name);
    let Some(shut) = shut(&leeward, begun + 2 * bound + 2 * EVIDENCE) else {
        let now = told(&leeward);
        let facts = now["evidence_for"].to_string();
        return Err(format!(
            "not noticed within twice the {bound:?}: {} {facts}",
            now["verdict"]
        ));
    };
    leeward.wait_log("incident closed", DUE);
    let recovered = shut.elapsed();
    let incident = incidents(&leeward).remove(0);
    let verdict = &incident["judgement"]["verdict"];
    if verdict != illness.verdict {
        return Err(format!("{verdict}: {incident:#}"));
    }
    let facts = incident["judgement"]["evidence_for"].to_string();
    let told = incident["ending"]["detection_seconds"].as_f64();
    let outage = bound_of(&proof, "outages", illness.name);
    let after = after(&proof, illness.name);
    let most = bound_of(&proof, "recovery", &after);
    if recovered > most {
        return Err(format!("served again after {recovered:?} of {most:?}"));
    }
    if outage != bound + most {
        return Err(format!(
            "an outage of {outage:?} is not {bound:?} and {most:?}"
        ));
    }
    Ok(Seen {
        outside: shut - begun,
        told: Duration::from_secs_f64(told.expect("a detection")),
        bound,
        recovered,
        facts,
    })
}

/// When the gate was seen shut, which is when the verdict was passed.
fn shut(leeward: &Leeward, until: Instant) -> Option<Instant> {
    while !leeward.stderr().contains("incident opened") {
        if Instant::now() > until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(Instant::now())
}

/// A request nobody waits for; and when the origin had it.
fn asked(leeward: &Leeward, target: &'static str) -> Instant {
    let edge = leeward.edge();
    std::thread::spawn(move || h1::get(edge, target, DUE));
    Instant::now()
}

fn frozen(leeward: &Leeward) -> Instant {
    drop(signalled(leeward, Signal::STOP));
    Instant::now()
}

fn killed(leeward: &Leeward) -> Instant {
    drop(signalled(leeward, Signal::KILL));
    Instant::now()
}

#[test]
fn detection_and_recovery_stay_within_what_check_printed() {
    let illnesses = [
        Illness {
            name: "exited",
            verdict: "exited",
            front: &[],
            brought_on: killed,
        },
        Illness {
            name: "stopped",
            verdict: "stopped",
            front: &[],
            brought_on: frozen,
        },
        Illness {
            name: "silent",
            verdict: "hung-blocked",
            front: &[],
            brought_on: |leeward| asked(leeward, "/block/event"),
        },
        Illness {
            name: "held",
            verdict: "hung-blocked",
            front: &[],
            brought_on: |leeward| asked(leeward, "/block/read"),
        },
        Illness {
            name: "not-listening",
            verdict: "not-listening",
            front: &[],
            brought_on: |leeward| asked(leeward, "/close-listener"),
        },
    ];
    let failed: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = illnesses
            .iter()
            .flat_map(|illness| SETTINGS.iter().map(move |settings| (illness, settings)))
            .map(|(illness, settings)| scope.spawn(|| endure(illness, settings)))
            .collect();
        let ended = runs
            .into_iter()
            .filter_map(|run| run.join().expect("it ends").err());
        ended.collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Alone, and before other tests where that is allowed: it is judged where it gets a processor.
#[test]
fn a_spinning_origin_is_noticed_within_what_check_printed() {
    let spinning = Illness {
        name: "spinning",
        verdict: "hung-spinning",
        front: &["nice", "-n", "-20"],
        brought_on: |leeward| asked(leeward, "/spin"),
    };
    let endured = endure(&spinning, SETTINGS[1]);
    assert!(endured.is_ok(), "{}", endured.unwrap_err());
}

/// From the verdict to the incident on the disk, on a machine that is busy with other tests.
const EVIDENCE: Duration = Duration::from_millis(1500);

/// Each request gives up before its silence is a hang, and the next one takes its place: the silence must go on.
#[test]
fn a_hang_is_noticed_though_every_request_gives_up_before_it_is_one() {
    let settings = "[hang]\ncertain = \"300ms\"\nsilent = \"1500ms\"\n\
                    [origin.deadlines]\nfirst_byte = \"700ms\"\n";
    let ledger = tempfile::NamedTempFile::new().expect("a file");
    let path = ledger.path().display().to_string();
    let leeward = behind(&["--ledger", &path], settings);
    let proof = checked(&leeward);
    let notes = proof["notes"].as_array().expect("notes").iter();
    let mut warned = notes.filter(|note| note["gravity"] == "warning");
    let keys = serde_json::json!(["hang.silent", "origin.deadlines.first_byte"]);
    assert!(
        warned.any(|note| note["keys"] == keys),
        "{:#}",
        proof["notes"]
    );
    let begun = asked(&leeward, "/block/event");
    while processed(ledger.path(), "/block/event") == 0 {
        assert!(begun.elapsed() < DUE, "it never got there");
        std::thread::sleep(Duration::from_millis(5));
    }
    let edge = leeward.edge();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    let took = std::thread::scope(|scope| {
        for _ in 0..4 {
            // There is always one that waits.
            scope.spawn(|| {
                while !is_over.load(order) {
                    let _ = h1::get(edge, "/", DUE);
                }
            });
        }
        let until = begun + bound_of(&proof, "detection", "silent") + EVIDENCE;
        while !leeward.stderr().contains("incident opened") && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let took = begun.elapsed();
        is_over.store(true, order);
        assert!(leeward.stderr().contains("incident opened"), "{took:?}");
        took
    });
    println!("noticed after {took:?}");
}

#[test]
fn what_follows_from_a_configuration_is_told_with_its_sums() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("leeward.toml");
    let text = "[hang]\nsilent = \"8s\"\n[hold]\ntimeout = \"12s\"\n";
    fs::write(&file, text).expect("the configuration");
    let name = file.to_str().expect("a plain name");
    let output = leeward(&["check", name]);
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8_lossy(&output.stdout);
    let first = told.find("warning: ").expect("a warning");
    assert!(Some(first) < told.find("The worst cases"), "{told}");
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        ": good: clients on 127.0.0.1:8443",
        "2.35 s stopped: a signal has frozen it",
        "2.35 s + 82.6 s = 84.95 s stopped: ",
        "at the longest, whatever happens",
        "= 500 ms (until it is looked at) + 1.5 s hang.certain (to be sure) + 100 ms (until the next turn)",
        "8 s hang.silent (to be a hang)",
        "warning: hold.timeout, origin.deadlines.queue: ",
    ] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
    let effective = leeward(&["check", "--effective", name]);
    let effective = String::from_utf8_lossy(&effective.stdout).into_owned();
    assert!(effective.contains("silent = \"8s\""), "{effective}");
    fs::write(&file, &effective).expect("the whole configuration");
    let again = leeward(&["check", "--effective", name]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), effective);
}
