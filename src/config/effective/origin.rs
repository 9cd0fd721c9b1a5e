//! `[origin]` and `[[route]]`.

use super::{AUTO, OFF, Text, file, list, quoted, size, time, version};
use crate::config::settings::{
    Bundled, Command, Daemon, Hooked, Manners, OnExit, Origin, OriginDeadlines, OriginLimits,
    OriginVersion, Probe, Process, Route, Socket, Total,
};

impl Text {
    pub(super) fn origin(&mut self, origin: &Origin) {
        let Origin {
            address,
            concurrency,
            streams,
            queue,
            keep_alive,
            manners,
            process,
            deadlines,
            probe,
            limits,
        } = origin;
        self.section("[origin]");
        self.put("address", quoted(address));
        self.or("concurrency", *concurrency, AUTO);
        // The profile is told by what it sets.
        let Manners {
            source,
            version,
            title_case,
            rewrite_location,
            secure_cookies,
        } = manners;
        self.or("source_address", source.map(quoted), OFF);
        self.put(
            "http_version",
            match version {
                OriginVersion::V1_0 => "\"1.0\"",
                OriginVersion::V1_1 => "\"1.1\"",
            },
        );
        self.put("title_case_headers", title_case);
        self.put("rewrite_location", rewrite_location);
        self.put("secure_cookies", secure_cookies);
        self.or("streams", *streams, AUTO);
        self.put("queue", queue);
        self.or("keep_alive", keep_alive.map(time), OFF);
        self.process(process);
        self.origin_deadlines(deadlines);
        self.probe(probe);
        let OriginLimits {
            memory,
            descriptors,
            close_wait,
        } = limits;
        self.section("[origin.limits]");
        self.or("memory", memory.map(size), OFF);
        self.or("descriptors", *descriptors, OFF);
        self.or("close_wait", *close_wait, OFF);
    }

    fn process(&mut self, process: &Process) {
        match process {
            Process::Bundled(bundled) => self.bundled(bundled),
            Process::Observed => {}
            Process::Command(command) => {
                self.command(command);
                self.socket(command.socket);
                let on_exit = match command.on_exit {
                    OnExit::End => "end",
                    OnExit::Keep => "keep",
                };
                self.put("on_exit", quoted(on_exit));
            }
            Process::Daemon(daemon) => self.daemon(daemon),
            Process::Unit(unit) => {
                self.section("[origin.process]");
                self.put("unit", quoted(unit));
            }
            Process::Hooked(hooked) => self.hooked(hooked),
        }
    }

    fn bundled(&mut self, bundled: &Bundled) {
        let Bundled {
            root,
            listing,
            links,
            hidden,
            not_found,
            cache,
            cgi,
            cgi_path,
            cgi_timeout,
            cgi_at_once,
        } = bundled;
        self.section("[origin.bundled]");
        // Each of the others is a fault without its directory.
        if let Some(root) = root {
            self.put("root", file(root));
            self.put("listing", listing);
            self.put("links", quoted(links.word()));
            self.put("hidden", hidden);
            self.maybe("not_found", not_found.as_ref().map(quoted));
            let rules = cache.iter();
            let rules: Vec<_> = rules
                .map(|(pattern, age)| format!("{} = {}", quoted(pattern), time(*age)))
                .collect();
            self.put("cache", format!("{{ {} }}", rules.join(", ")));
        }
        if let Some(cgi) = cgi {
            self.put("cgi", file(cgi));
            self.put("cgi_path", quoted(cgi_path));
            self.put("cgi_timeout", time(*cgi_timeout));
            self.put("cgi_at_once", cgi_at_once);
        }
    }

    fn command(&mut self, command: &Command) {
        let Command {
            program,
            arguments,
            directory,
            environment,
            socket: _,
            on_exit: _,
        } = command;
        self.section("[origin.process]");
        self.put(
            "command",
            list(std::iter::once(program).chain(arguments.iter())),
        );
        self.maybe("directory", directory.as_deref().map(file));
        let pairs = environment.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)))
            .collect();
        self.put("environment", format!("{{ {} }}", pairs.join(", ")));
    }

    fn socket(&mut self, socket: Socket) {
        self.put(
            "socket",
            match socket {
                Socket::Own => "\"own\"",
                Socket::Passed => "\"passed\"",
                Socket::Stdin => "\"stdin\"",
            },
        );
    }

    fn daemon(&mut self, daemon: &Daemon) {
        let Daemon { command, pid_file } = daemon;
        self.command(command);
        self.put("daemonises", true);
        self.maybe("pid_file", pid_file.as_deref().map(file));
    }

    fn hooked(&mut self, hooked: &Hooked) {
        let Hooked {
            pid_file,
            start,
            stop,
            restart,
            timeout,
        } = hooked;
        self.section("[origin.process]");
        self.maybe("pid_file", pid_file.as_deref().map(file));
        let hooks = [("start", start), ("stop", stop), ("restart", restart)];
        let given = hooks.into_iter().filter(|(_, words)| !words.is_empty());
        let mut is_any = false;
        for (key, words) in given {
            self.put(key, list(words.iter()));
            is_any = true;
        }
        // Without any of them, a limit for them is a fault.
        self.maybe("hook_timeout", is_any.then(|| time(*timeout)));
    }

    fn origin_deadlines(&mut self, deadlines: &OriginDeadlines) {
        let OriginDeadlines {
            queue,
            connect,
            first_byte,
            idle,
            total,
        } = deadlines;
        self.section("[origin.deadlines]");
        self.put("queue", time(*queue));
        self.put("connect", time(*connect));
        self.put("first_byte", time(*first_byte));
        self.put("idle", time(*idle));
        self.put("total", time(*total));
    }

    fn probe(&mut self, probe: &Probe) {
        let Probe {
            path,
            host,
            http2,
            every,
            suspect_every,
            timeout,
        } = probe;
        self.section("[origin.probe]");
        self.put("path", quoted(path));
        self.maybe("host", host.as_ref().map(quoted));
        self.put("http_version", version(*http2));
        self.put("every", time(*every));
        self.put("suspect_every", time(*suspect_every));
        self.put("timeout", time(*timeout));
    }

    pub(super) fn route(&mut self, route: &Route) {
        let Route {
            path,
            body,
            first_byte,
            idle,
            total,
            stream,
            http2,
            upgrade,
        } = route;
        self.section("[[route]]");
        self.put("path", quoted(path));
        self.maybe("body", body.map(size));
        self.maybe("first_byte", first_byte.map(time));
        self.maybe("idle", idle.map(time));
        match total {
            Total::Usual => {}
            Total::Off => self.put("total", OFF),
            Total::Within(total) => self.put("total", time(*total)),
        }
        self.put("stream", stream);
        self.put("http_version", version(*http2));
        self.put("upgrade", upgrade);
    }
}
