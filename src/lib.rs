//! Leeward, a reverse-proxy watchdog sidecar: the guided tour.
//!
//! Leeward stands between clients and **one** web server, the *origin*. It takes each request whole before it asks
//! the origin, takes the answer at loopback speed whatever the client does, and when the origin hangs it says why,
//! replaces it, and lets the requests wait meanwhile. Who knows these three things knows where to look:
//! the floor plan, the walk of a request, the walk of an incident.
//!
//! # The floor plan
//!
//! Each folder is a room with one door. The left column may use what the right one names, and nothing else of ours;
//! `tests/floor_plan.rs` holds these arrows, and holds the pure files to being pure.
//!
//! | room | what it knows | what it may use |
//! |---|---|---|
//! | [`ground`] | addresses, deadlines, the drain, failures, every number we utter, the colours of a terminal | nothing of ours |
//! | [`config`] | what the TOML said, what is so, and what follows from that | ground |
//! | [`edge`] | clients, but not what a request is for: it is given a [`edge::Handler`] | config, ground |
//! | [`exchange`] | one request and its answer | the handle [`origin::Origin`], config, ground |
//! | [`origin`] | the process: whether it is well, why not, and how it is replaced | config, ground |
//! | [`status`] | nothing of its own: it tells, from one [`status::Snapshot`], and passes on what operators want | origin's handle and records, config, ground |
//! | [`bundled`] | the web server that is inside the program: files, CGI scripts, and a welcome site for a first look and for tests | ground |
//! | [`app`] | how the rooms are joined: it binds everything, starts the threads, drains | all rooms but bundled |
//! | [`cli`] | the command line, a thin file a command | all |
//!
//! There are these kinds of threads. The *main* thread waits for signals. The *edge* threads each have a runtime and
//! serve clients; what is hot belongs to one of them. The *watch* thread has the origin, the status page and the
//! service manager, and shares no fate with traffic: the data plane tells it by [`origin::Origin::report`], which
//! never waits, and it tells the data plane by two watched values, the [`origin::Gate`] and the [`origin::View`], and by
//! what is in quarantine. The *files* thread reads what changes on disks while we run, and may wait for them: the
//! certificates, and on a reload the configuration, of which [`config::change`] says what can be taken at once. Two more serve
//! readers that may hang, and have nothing else to do: one writes the log (`cli/log`), one tells the collector of traces,
//! where there is one. The *sentinel* (`app/sentinel`) watches over main, edge and watch threads: systemd hears that we
//! are alive while all of them make progress, and one that stands still is written down before Leeward makes room for another.
//!
//! # The walk of a request
//!
//! Each room once; the only way back is the answer.
//!
//! 1. [`edge::listener`] accepts. [`edge::admission`] gives leave to be connected, before TLS, or resets.
//! 2. [`edge::tls`] says how TLS is spoken and which certificate is shown; it watches over their files, and verifies those of clients. [`edge::connection`] is one task and one timer for a client; what flows
//!    and which deadline has passed, `edge/judge` says from the [`edge::flow`].
//! 3. [`exchange::Exchanges::serve`] gets the head. `exchange/head` judges it and makes a new one for the origin;
//!    `exchange/intake` takes the body whole, under the client's deadlines. What comes out is a `Taken`,
//!    and only that can be sent. *Here the client's wait ends.*
//! 4. The rest is an errand (`exchange/errand`): it is run by whoever waits for it, and by itself from when the client
//!    leaves. `exchange/hold` waits for the gate and for an [`OriginSlot`](origin::OriginSlot), unless the request is in
//!    [`origin::quarantine`]; `exchange/forward`
//!    takes a connection (`exchange/leg`, which may have been kept in `exchange/pool`), sends, and takes the answer
//!    (`exchange/receive`) into a spool (`exchange/spool`) under the origin's deadlines. *The origin is free when its
//!    answer is whole.*
//! 5. A visit that failed goes through `exchange/replay` (may it be sent again?) and, if not, through
//!    `exchange/rescue` (which response does the client get? The operator's own page, where there is one:
//!    `config/pages`). Where the client has seen a part of the answer, `exchange/continuation` says whether the rest may
//!    be asked for, and whether what comes is the rest; `exchange/rest` puts it behind what is there.
//! 6. `exchange/answer` reads behind the origin from the spool, at the client's pace, and the edge writes under its
//!    stall deadline. Whatever happened, an exchange ends in one `exchange/outcome`: a line in the log, numbers in the
//!    [`ledger`](ground::ledger), and a record for the collector of traces (`app/collector`), by whose
//!    [`trail`](ground::trail) it is found again in the origin's log.
//!
//! # The walk of an incident
//!
//! Where the process is ([`Phase`](origin::lifecycle::Phase)) and what is believed of it
//! ([`Verdict`](origin::verdict::Verdict)) are two values; the word a user sees is made of both by
//! [`State::of`](origin::State::of).
//!
//! 1. `origin/senses` probes the origin, looks at its process, and hears from the visits under way
//!    (`origin/roster`). A silence is looked at closely before long: one connection that holds the whole origin
//!    (`origin/forensics/stuck`), or threads that hold each other (`origin/forensics/deadlock`), is proof. [`origin::attention`] lays all that out as
//!    [`Evidence`](origin::verdict::Evidence), with how what it holds has grown ([`origin::growth`]).
//! 2. [`origin::verdict::judge`] says what it means, how surely, and whether to act. It never sees a clock.
//! 3. [`origin::lifecycle`] turns what happened into the next phase and an order; `origin/supervisor` carries the
//!    order out. An origin that is not ours has `origin/observer` instead, which finds its process
//!    ([`origin::forensics::server()`]), writes the same incidents, and closes them when it answers again.
//! 4. The order is to end it: the gate shuts, and requests are held. [`origin::forensics::examine`] looks at every
//!    thread, its system call and its socket; [`origin::forensics::sentence()`] says it in words; the
//!    [`Incident`](origin::incident::Incident) is in the [`journal`](origin::journal), on the disk, *before the first
//!    signal*. A hook of the operator's may look at the process then (`origin/hook`).
//! 5. The generation ends: it is frozen, and `origin/unread` proves which visits it has not begun with. Those in flight
//!    learn their [`Ending`](origin::Ending), and each goes through step 5 above. `origin/stop` goes down the ladder, TERM,
//!    grace, KILL, for the whole group, and reaps; what left the group is ended by its control group
//!    (`origin/cgroup`) or by its descent (`origin/orphans`).
//! 6. After the wait that the lifecycle asks for, `origin/port` proves the port free or names its holder, and
//!    `origin/process` starts the next generation through `leeward launch`, which binds its life to ours. Where we hold the
//!    listening socket ([`origin::HeldSocket`]), it is emptied and passed on instead. An origin that makes itself a daemon
//!    is found by its pid file or by who listens; one that somebody else starts is found, ended and started by whoever
//!    that is: systemd, or commands of the operator's. To the supervisor all of them are one `Process`.
//! 7. It answers: `origin/concurrency` measures how many requests it serves at once, the gate opens, held requests
//!    flow in the order of their coming (`exchange/turns`) and no faster than it has proven to bear (`origin/widening`),
//!    and the incident is closed with its cost ([`origin::cost`]) and its course ([`origin::course`]), and with whose signal
//!    it was that ended the process (`origin/sender`).
//!
//! Where a standby runs beside it (`origin/supervisor/standby`), 5 to 7 are another: the condemned generation is frozen and set
//! aside, the standby, asked once more, is the next one (`origin/supervisor/relief`), and the frozen one is ended when the
//! gate is open. Two never work on the same request: one that is set aside does nothing, and what it has not read is taken
//! from it if it is kept.
//!
//! Where restarting does not help, `origin/plight` says whom that is told, and when.
//!
//! One that is to outlive Leeward (`origin/legacy`) is taken over by the Leeward after it (`origin/supervisor/inherit`), from
//! what systemd has kept of it.
//!
//! An origin that serves is replaced, too: when it leaks or has run its time (`origin/renewal`), or because an operator
//! wants it so. What operators want is a value of its own ([`origin::will`]), and the gate that others see is made of
//! both by `origin/board`.
//!
//! # Where a change belongs
//!
//! - A key of the configuration: [`config::settings`] says what it is, [`config::change`] when a change of it is taken, `config/read` how it is read, its default is in
//!   `config/settings/defaults.rs` and its reason in `config/leeward.toml`.
//! - A time or a size that nobody sets and that a bound is made of: `config/fixed`; what it adds to is in
//!   [`config::proof`], and so is what is at odds with a key.
//! - A number: a [`Count`](ground::ledger::Count) in the ledger; [`status::snapshot`] reads it, and the page, the
//!   metrics and the terminal are functions of the snapshot.
//!   Its shape is in `config/status.schema.json`, to which a promise holds it; alerts and a dashboard rest on the names.
//! - A way to fail: a [`Failure`](ground::failure::Failure), and its row in `exchange/rescue`.
//! - A new disease: what to look at in [`origin::attention`], what it means in [`origin::verdict`], what to say of it
//!   in `origin/forensics/sentence`; and a path in `tests/ailing`, so that it can be caught.
//! - A file that is installed: `[package.metadata]` in `Cargo.toml`, for each kind of package; `packaging/build` makes them.
//! - A promise: a test in `tests/promises`, which drives the program from outside.

pub mod app;
pub mod bundled;
pub mod cli;
pub mod config;
pub mod edge;
pub mod exchange;
pub mod ground;
pub mod origin;
pub mod status;
